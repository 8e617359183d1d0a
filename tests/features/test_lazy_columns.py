"""Rows of several shards are indexed as one array would be; one shard is a view."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from noisymodel.features import FeatureStore, ShardedRows, ShardedStrings

COUNT = 25


@pytest.fixture(scope="module", params=[25, 10, 1], ids="shards of {}".format)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[FeatureStore, Tensor]:
    rows = torch.arange(COUNT * 2, dtype=torch.float32).view(COUNT, 2)
    with FeatureStore.create(tmp_path_factory.mktemp("s"), num_features=2, shard_rows=request.param) as store:
        store.append(rows, ids=[str(i) for i in range(COUNT)])
    return FeatureStore.open(store.path), rows


bound = st.none() | st.integers(-COUNT - 3, COUNT + 3)


@settings(deadline=None, max_examples=50)
@given(start=bound, stop=bound, step=st.sampled_from([None, 1, 2, 7, 40, -1, -3, -40]))
def test_slices(pair: tuple[FeatureStore, Tensor], start: int | None, stop: int | None, step: int | None) -> None:
    store, rows = pair
    wanted = rows.numpy()[start:stop:step]
    assert np.array_equal(store.features[start:stop:step].numpy(), wanted)
    assert store.features[start:stop:step].shape == wanted.shape
    assert isinstance(store.ids, ShardedStrings)
    assert store.ids[start:stop:step] == [str(i) for i in range(COUNT)][start:stop:step]


@settings(deadline=None, max_examples=50)
@given(index=st.lists(st.integers(-COUNT, COUNT - 1), max_size=40), ascending=st.booleans())
def test_integer_arrays(pair: tuple[FeatureStore, Tensor], index: list[int], ascending: bool) -> None:
    store, rows = pair
    index = sorted(i % COUNT for i in index) if ascending else index
    wanted = rows[index] if index else rows[:0]
    assert isinstance(store.ids, ShardedStrings)
    for kind in (list, np.array, torch.tensor, np.int32):
        if kind is np.int32 and not index:
            continue
        found = store.features[kind(index)]
        assert torch.equal(found, wanted)
        assert store.ids[kind(index)] == [str(i % COUNT) for i in index]


@settings(deadline=None, max_examples=20)
@given(mask=st.lists(st.booleans(), min_size=COUNT, max_size=COUNT))
def test_masks(pair: tuple[FeatureStore, Tensor], mask: list[bool]) -> None:
    store, rows = pair
    assert torch.equal(store.features[np.array(mask)], rows[mask])
    assert torch.equal(store.features[torch.tensor(mask)], rows[mask])


def test_single_rows_and_iteration(pair: tuple[FeatureStore, Tensor]) -> None:
    store, rows = pair
    for row in (0, 9, 10, 24, -1, -25, np.int64(11), torch.tensor(12), np.array(13)):
        assert torch.equal(store.features[row], rows[int(row)])
        assert store.ids is not None
        assert store.ids[row] == str(int(row) % COUNT)
    assert torch.equal(torch.stack(list(store.features)), rows)
    assert list(store.ids or []) == [str(i) for i in range(COUNT)]


@pytest.mark.parametrize(
    ("index", "error", "message"),
    [
        (25, IndexError, "row 25 is out of range: there are 25 rows"),
        (-26, IndexError, "row -26 is out of range"),
        ([0, 25], IndexError, r"rows must be in \[-25, 25\), got rows from 0 to 25"),
        (np.array([-26]), IndexError, r"rows must be in \[-25, 25\), got rows from -26"),
        (np.array([True]), IndexError, r"a mask must have one entry per row, 25, got shape \(1,\)"),
        (np.array([0.5]), IndexError, "rows must be integers of shape"),
        (np.array([[1]]), IndexError, r"rows must be integers of shape \(n,\), got torch.int64 of shape \(1, 1\)"),
        (0.5, TypeError, "float"),
        ((0, 1), IndexError, r"a tuple is no index of rows: rows\[indices\] gives a tensor"),
    ],
)
def test_bad_indices(pair: tuple[FeatureStore, Tensor], index: object, error: type[Exception], message: str) -> None:
    store, _ = pair
    for column in (store.features, store.ids):
        assert column is not None
        with pytest.raises(error, match=message):
            column[index]


def test_as_arrays(pair: tuple[FeatureStore, Tensor]) -> None:
    store, rows = pair
    assert np.array_equal(np.asarray(store.features), rows.numpy())
    assert np.asarray(store.features, dtype=np.float64).dtype == np.float64
    assert torch.equal(torch.as_tensor(store.features), rows)
    assert torch.equal(torch.from_dlpack(store.features), rows)
    assert np.asarray(store.ids).tolist() == [str(i) for i in range(COUNT)]
    assert (store.features.ndim, store.features.shape, store.features.dtype) == (2, (COUNT, 2), torch.float32)
    assert repr(store.features) == "ShardedRows('features', shape=(25, 2), dtype=torch.float32)"
    assert repr(store.ids) == "ShardedStrings('ids', len=25)"


def test_functions_of_torch_take_everything(pair: tuple[FeatureStore, Tensor]) -> None:
    store, rows = pair
    assert torch.equal(store.features, rows)  # pyright: ignore[reportArgumentType] - no tensor, but takes its place
    assert torch.equal(torch.cat([store.features, rows]), torch.cat([rows, rows]))  # pyright: ignore[reportArgumentType] - likewise
    assert torch.sum(input=store.features).item() == rows.sum().item()  # pyright: ignore[reportArgumentType] - likewise
    assert store.features.tolist() == rows.tolist()


def test_one_shard_is_a_view_of_the_file(make: Callable[..., FeatureStore], rows: Tensor) -> None:
    store = make(shard_rows=25)
    first = store.features[0].data_ptr()
    assert store.features[:].data_ptr() == store.features[0:3].data_ptr() == first
    assert store.features[1:9:2].data_ptr() == first + 4 * 4
    assert np.asarray(store.features).ctypes.data == first
    assert np.asarray(store.labels).base is not None
    copied = np.array(store.features)
    assert copied.ctypes.data != first
    assert store.features[[0]].data_ptr() != first


def test_a_slice_within_a_shard_is_a_view(store: FeatureStore) -> None:
    assert store.features[10:20].data_ptr() == store.features[10].data_ptr()
    assert store.features[9:20].data_ptr() != store.features[9].data_ptr()


def test_a_write_into_a_view_never_reaches_the_file(store: FeatureStore, rows: Tensor) -> None:
    store.features[0:5].fill_(-1)
    store.verify()
    assert torch.equal(FeatureStore.open(store.path).features[:], rows)


def test_no_file_stays_open(tmp_path: Path) -> None:
    if not Path("/proc/self/fd").exists():
        pytest.skip("needs /proc")
    with FeatureStore.create(tmp_path / "s", num_features=1, shard_rows=1) as store:
        store.append(torch.zeros(300, 1))
    before = len(list(Path("/proc/self/fd").iterdir()))
    everything = [store.features[i : i + 1] for i in range(300)]
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert torch.equal(torch.cat(everything), torch.zeros(300, 1))


def test_columns_are_of_the_documented_kinds(store: FeatureStore) -> None:
    assert isinstance(store.features, ShardedRows)
    assert isinstance(store.labels, ShardedRows)
    assert isinstance(store.ids, ShardedStrings)
    assert isinstance(store.column("name"), ShardedStrings)
