"""Batches: every row once; the order is that of the seed alone; the shuffle is as good as documented."""

from __future__ import annotations

from collections import Counter
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from noisymodel.features import FeatureStore, shuffling
from noisymodel.features.shardfile import Shard
from noisymodel.features.shuffling import shuffled_rows


def written(
    path: Path, count: int, *, width: int = 3, shard_rows: int = 10, dtype: str = "float32", labels: bool = True
):
    """A store whose row i holds i, i, ... and has the label i."""
    with FeatureStore.create(path, num_features=width, shard_rows=shard_rows, dtype=dtype) as store:
        rows = torch.arange(count)
        store.append(rows[:, None].expand(count, width).float(), rows if labels else None)
    return FeatureStore.open(path)


def labels_of(batches: Any) -> list[list[int]]:
    found: list[list[int]] = []
    for features, labels in batches:
        assert torch.equal(features, labels[:, None].expand_as(features).to(features.dtype))
        found.append(labels.tolist())
    return found


@settings(deadline=None, max_examples=40)
@given(
    count=st.integers(1, 80),
    batch_size=st.integers(1, 90),
    shard_rows=st.integers(1, 90),
    window=st.integers(1, 100),
    shuffle=st.booleans(),
    group=st.sampled_from([1, 200, 1 << 20]),
)
def test_each_row_exactly_once(
    tmp_path_factory: pytest.TempPathFactory,
    count: int,
    batch_size: int,
    shard_rows: int,
    window: int,
    shuffle: bool,
    group: int,
) -> None:
    store = written(tmp_path_factory.mktemp("s"), count, shard_rows=shard_rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shuffling, "_GROUP_BYTES", group)
        patch.setattr(shuffling, "_RUN_ROWS", 1)
        batches = labels_of(store.batches(batch_size, shuffle=shuffle, seed=1, window_rows=window))
    sizes = [len(batch) for batch in batches]
    assert sizes == [batch_size] * (count // batch_size) + ([count % batch_size] if count % batch_size else [])
    order = [row for batch in batches for row in batch]
    assert sorted(order) == list(range(count))
    assert order == (torch.cat(list(shuffled_rows(count, window, 1))).tolist() if shuffle else list(range(count)))


def test_the_order_is_that_of_the_seed(tmp_path: Path) -> None:
    orders: list[list[int]] = []
    for number, options in enumerate([{}, {"shard_rows": 7}, {"dtype": "float16"}, {"shard_rows": 1000}, {"width": 9}]):
        store = written(tmp_path / str(number), 200, **options)
        for batch_size in (3, 64):
            orders.append([i for batch in labels_of(store.batches(batch_size, shuffle=True, seed=5)) for i in batch])
    assert all(order == orders[0] for order in orders)
    other = [i for batch in labels_of(store.batches(64, shuffle=True, seed=6)) for i in batch]
    assert other != orders[0]
    windows = [i for batch in labels_of(store.batches(64, shuffle=True, seed=5, window_rows=50)) for i in batch]
    assert windows != orders[0]
    assert windows == [i for batch in labels_of(store.batches(7, shuffle=True, seed=5, window_rows=50)) for i in batch]


def test_without_a_seed_each_time_another_order(tmp_path: Path) -> None:
    store = written(tmp_path / "s", 60)
    assert labels_of(store.batches(60, shuffle=True)) != labels_of(store.batches(60, shuffle=True))


def test_without_labels_batches_are_features(tmp_path: Path) -> None:
    store = written(tmp_path / "s", 12, labels=False)
    for shuffle in (False, True):
        batches = list(store.batches(5, shuffle=shuffle))
        assert [tuple(batch.shape) for batch in batches if isinstance(batch, Tensor)] == [(5, 3), (5, 3), (2, 3)]


def test_soft_labels_come_with_their_rows(tmp_path: Path) -> None:
    soft = torch.arange(24.0).view(12, 2)
    with FeatureStore.create(tmp_path / "s", num_features=2, shard_rows=5, dtype="bfloat16") as store:
        store.append(soft, soft)
    for features, labels in store.batches(5, shuffle=True, seed=0):
        assert features.dtype == torch.bfloat16
        assert torch.equal(features.float(), labels)


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("shard_rows", [4, 100])
def test_batches_are_the_callers_own(tmp_path: Path, shuffle: bool, shard_rows: int) -> None:
    store = written(tmp_path / "s", 12, shard_rows=shard_rows)
    for features, labels in store.batches(4, shuffle=shuffle, seed=0):
        features.zero_()
        labels.zero_()
    assert sorted(i for batch in labels_of(store.batches(4)) for i in batch) == list(range(12))


@pytest.mark.parametrize("window_rows", [100, 30])
def test_each_row_is_read_ahead_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, window_rows: int) -> None:
    store = written(tmp_path / "s", 60, shard_rows=25)
    asked: list[int] = []

    def noted(shard: Shard, spans: list[tuple[int, int]]) -> None:
        start = 25 * int(shard.path.stem[-6:])
        asked.extend(start + row for first, last in spans for row in range(first, last))

    monkeypatch.setattr(Shard, "prefetch", noted)
    batches = store.batches(7, shuffle=True, seed=0, window_rows=window_rows)
    next(batches)
    assert sorted(asked) == list(range(60)), "the first window, and the one after it"
    assert len(labels_of(batches)) == 8
    assert len(asked) == 60


def test_pages_of_earlier_windows_are_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = written(tmp_path / "s", 60, shard_rows=20)
    mapped: list[Shard] = []
    forgotten = Shard.forgotten

    def counted(shard: Shard) -> Shard:
        mapped.append(forgotten(shard))
        return mapped[-1]

    monkeypatch.setattr(Shard, "forgotten", counted)
    labels_of(store.batches(7, shuffle=True, seed=0))
    assert len(mapped) == 0
    labels_of(store.batches(7, shuffle=True, seed=0, window_rows=30))
    assert len(mapped) == 2 * 3


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"batch_size": 0}, ValueError, "`batch_size` must be at least 1, got 0"),
        ({"batch_size": 1.5}, TypeError, "`batch_size` must be an integer"),
        ({"batch_size": 1, "seed": -1}, ValueError, "`seed` must be in"),
        ({"batch_size": 1, "window_rows": 0}, ValueError, "`window_rows` must be at least 1"),
    ],
)
def test_bad_arguments_are_found_before_the_first_batch(
    store: FeatureStore, options: Any, error: Any, message: str
) -> None:
    with pytest.raises(error, match=message):
        store.batches(**options)


def test_one_window_is_a_uniform_permutation() -> None:
    draws = 2400
    seen = Counter(tuple(torch.cat(list(shuffled_rows(4, 10, seed))).tolist()) for seed in range(draws))
    assert set(seen) == set(permutations(range(4)))
    chi_square = sum((count - draws / 24) ** 2 / (draws / 24) for count in seen.values())
    assert chi_square < 49.7  # the 99.9 % quantile with 23 degrees of freedom


@pytest.mark.parametrize(("count", "window"), [(10_000, 2048), (10_000, 9_999), (5_003, 1024), (300_000, 1 << 17)])
def test_windows_are_made_of_whole_blocks_and_none_is_small(count: int, window: int) -> None:
    block = min(256, window // 1024)
    windows = list(shuffled_rows(count, window, 0))
    assert sorted(torch.cat(windows).tolist()) == list(range(count))
    for rows in windows:
        assert window / 2 - 2 * block <= len(rows) <= window
        blocks = torch.bincount(rows // block)
        assert set(blocks.unique().tolist()) <= {0, block, count % block}
        neighbours = (rows[1:] // block == rows[:-1] // block).double().mean()
        assert neighbours < 4 * (block - 1) / len(rows) + 0.01, "rows of one block are spread over the window"
    first = torch.cat([rows // block for rows in windows[:1]]).unique()
    assert first.diff().max() > 1, "a window is not one stretch of the store"


def test_the_probability_of_two_rows_of_one_block_is_as_documented() -> None:
    window, count = 4096, 12_000  # blocks of 4 rows, 3 windows of 4000
    same = pairs = 0
    for seed in range(30):
        for rows in shuffled_rows(count, window, seed):
            for batch in (rows // 4).split(64):
                same += int((batch[:, None] == batch).sum()) - len(batch)
                pairs += len(batch) * (len(batch) - 1)
    assert same / pairs == pytest.approx(3 / 3999, rel=0.1)


def resident_anonymous() -> int:
    """Bytes of this process's own memory, without pages of mapped files, which the system takes back when it must."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) * 1024


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 256 MB."""
    store_bytes, width, shards = 256 << 20, 1024, 8
    folder = tmp_path_factory.mktemp("large") / "s"
    with FeatureStore.create(folder, num_features=width, dtype="float16", shard_rows=4096) as store:
        for _ in range(shards):
            store.append(torch.ones(store_bytes // shards // width // 2, width, dtype=torch.float16))
    return folder


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
@pytest.mark.parametrize(
    "options", [{}, {"shuffle": True, "seed": 0}, {"shuffle": True, "seed": 0, "window_rows": 4096}]
)
def test_memory_is_bounded(large: Path, options: Any) -> None:
    budget = 64 << 20  # what the allocator keeps of earlier tests changes by some megabytes
    store = FeatureStore.open(large)
    before = peak = resident_anonymous()
    total = 0
    for number, batch in enumerate(store.batches(64, **options)):
        total += len(batch)
        if number % 16 == 0:
            peak = max(peak, resident_anonymous())
    assert total == len(store) == 131072
    assert peak - before < budget
