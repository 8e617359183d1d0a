"""What reading and writing a feature store costs, as ratios against named baselines.

``python tests/benchmarks/test_features_benchmark.py [FOLDER]`` prints the table, one thread, the store in FOLDER (or a
temporary one); ``pytest tests/benchmarks --benchmark-only`` records the times and holds the ratios, with room for a
busy machine. Times are the process's own; all files are in the page cache.

Shuffled batches of a store are compared with the same batches of the same rows in memory, labels included:
``features[index]``, which is how one indexes a tensor, and ``features.index_select(0, index)``, the fastest way that
torch has, about twice as fast.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from noisymodel.features import FeatureStore

TARGET, HELD = 0.60, 0.50  # of the rows per second of an in-memory index: the aim, and what is held on a busy machine
MEGABYTES = 384  # of features
CASES = [  # D, dtype, rows in a batch, megabytes in a shard (128 is the default)
    (512, torch.float32, 64, 128),
    (512, torch.float32, 256, 128),
    (768, torch.float16, 64, 128),
    (1024, torch.float32, 64, 128),
    (2048, torch.float32, 64, 128),
    (2048, torch.float32, 256, 128),
    (2048, torch.float16, 64, 128),
    (512, torch.float32, 64, 512),
    (512, torch.float32, 64, 20),
    (2048, torch.float32, 64, 4),
]


def rows(width: int, dtype: torch.dtype, megabytes: int = MEGABYTES) -> tuple[Tensor, Tensor]:
    count = (megabytes << 20) // (width * dtype.itemsize)
    features = torch.randn(count, width, generator=torch.Generator().manual_seed(0)).to(dtype)
    return features, torch.arange(count) % 10


def written(folder: Path, features: Tensor, labels: Tensor, megabytes: int) -> FeatureStore:
    shard_rows = (megabytes << 20) // features[0].nbytes
    width, dtype = features.shape[1], features.dtype
    with FeatureStore.create(folder, num_features=width, dtype=dtype, shard_rows=shard_rows) as store:
        for batch, targets in zip(features.split(4096), labels.split(4096), strict=True):
            store.append(batch, targets)
    return FeatureStore.open(folder)


def seconds(*calls: Callable[[], object], budget: float = 8.0) -> list[float]:
    """The fastest run of each call; the calls take turns, so that what slows the machine slows all of them."""
    torch.empty(30 * 2**20, dtype=torch.uint8).fill_(0)  # from then on the allocator keeps freed pages, as in training
    best = [float("inf")] * len(calls)
    start = time.perf_counter()
    for turn in range(100):
        for index, call in enumerate(calls):
            begin = time.process_time()
            call()
            if turn:  # the first is a warm-up
                best[index] = min(best[index], time.process_time() - begin)
        if turn > 2 and time.perf_counter() - start > budget:
            break
    return best


def exhaust(batches: Iterator[Any]) -> None:
    for _ in batches:
        pass


def exhaust_views(batches: Iterator[Any]) -> None:
    """Batches in order are views of the files: what they cost is paid when they are read."""
    for features, _ in batches:
        features.clone()


def in_memory(features: Tensor, labels: Tensor, batch_size: int) -> tuple[Callable[[], None], Callable[[], None]]:
    order = torch.randperm(len(features), generator=torch.Generator().manual_seed(1))

    def index() -> None:
        exhaust((features[batch], labels[batch]) for batch in order.split(batch_size))

    def select() -> None:
        exhaust((features.index_select(0, batch), labels.index_select(0, batch)) for batch in order.split(batch_size))

    return index, select


@pytest.mark.parametrize("case", CASES[:7], ids=str)
def test_shuffled_batches_against_an_index_in_memory(
    case: tuple[int, torch.dtype, int, int], tmp_path: Path, benchmark
) -> None:
    width, dtype, batch_size, megabytes = case
    features, labels = rows(width, dtype, 256)
    store = written(tmp_path / "s", features, labels, megabytes)

    def shuffled() -> None:
        exhaust(store.batches(batch_size, shuffle=True, seed=0))

    index, select, mine = seconds(*in_memory(features, labels, batch_size), shuffled, budget=4)
    benchmark.extra_info["rows per second, of features[index]"] = index / mine
    benchmark.extra_info["rows per second, of features.index_select(0, index)"] = select / mine
    benchmark.pedantic(shuffled, rounds=1)
    assert index / mine >= TARGET
    assert select / mine >= HELD


def test_writing_against_writing_and_hashing_the_bytes(tmp_path: Path, benchmark) -> None:
    features, labels = rows(1024, torch.float32, 128)

    def mine() -> None:
        write_and_delete(tmp_path / "s", features, labels)

    floor, spent = seconds(lambda: write_plainly(tmp_path / "plain", features), mine, budget=4)
    benchmark.extra_info["times writing and hashing the bytes"] = spent / floor
    benchmark.pedantic(mine, rounds=1)
    assert spent / floor <= 3


def write_and_delete(folder: Path, features: Tensor, labels: Tensor) -> None:
    written(folder, features, labels, 128)
    shutil.rmtree(folder)


def write_plainly(path: Path, features: Tensor) -> None:
    """The floor: the bytes on the disk, and their SHA-256."""
    content = memoryview(features.numpy()).cast("B")
    with path.open("wb") as file:
        file.write(content)
        os.fsync(file.fileno())
    hashlib.sha256(content).hexdigest()
    path.unlink()


def print_tables(folder: Path) -> None:
    print(f"torch {torch.__version__}, {platform.machine()}, {torch.get_num_threads()} thread(s), {MEGABYTES} MiB\n")
    print("Millions of rows per second; shuffled / index and shuffled / index_select are the ratios\n")
    print(
        "| D | dtype | batch | shards | index | index_select | shuffled | of index | of index_select "
        "| in windows | in order |"
    )
    print("|" + "---|" * 11)
    for number, (width, dtype, batch_size, megabytes) in enumerate(CASES):
        features, labels = rows(width, dtype)
        store = written(folder / str(number), features, labels, megabytes)
        count = len(store)
        calls = [
            *in_memory(features, labels, batch_size),
            lambda s=store, b=batch_size: exhaust(s.batches(b, shuffle=True, seed=0)),
            lambda s=store, b=batch_size, w=count // 2 + 1: exhaust(s.batches(b, shuffle=True, seed=0, window_rows=w)),
            lambda s=store, b=batch_size: exhaust_views(s.batches(b)),
        ]
        index, select, mine, windows, ordered = (count / spent / 1e6 for spent in seconds(*calls))
        name = str(dtype).removeprefix("torch.")
        print(
            f"| {width} | {name} | {batch_size} | {len(list(store.path.glob('shard*')))} | {index:.2f} | {select:.2f} "
            f"| {mine:.2f} | {mine / index:.2f} | {mine / select:.2f} | {windows:.2f} | {ordered:.2f} |"
        )
        for path in store.path.iterdir():
            path.unlink()
    print_files(folder)
    print_cold(folder)


def print_files(folder: Path) -> None:
    features, labels = rows(1024, torch.float32)
    plain, mine = seconds(
        lambda: write_plainly(folder / "plain", features), lambda: write_and_delete(folder / "w", features, labels)
    )
    store = written(folder / "w", features, labels, 128)
    size = features.nbytes / 1e6
    (verify,) = seconds(store.verify)
    print(f"\nWrite: {size / mine:.0f} MB/s, {mine / plain:.2f} times writing and hashing the bytes")
    print(f"Verify: {size / verify:.0f} MB/s")
    (opened,) = seconds(lambda: FeatureStore.open(store.path))
    print(f"Open {len(list(store.path.glob('shard*')))} shards: {opened * 1e6:.0f} µs")


def print_cold(folder: Path, megabytes: int = 2048) -> None:
    """Wall-clock rates of files that are not in the page cache, where the system can be asked to drop them."""
    if not hasattr(os, "posix_fadvise"):
        return
    features, labels = rows(1024, torch.float16, megabytes)
    store = written(folder / "cold", features, labels, 128)
    del features
    print(f"\nNot in the page cache: {megabytes} MiB, D = 1024, float16, batches of 64, wall-clock rows per second")
    kinds: dict[str, dict[str, Any]] = {
        "in order": {},
        "shuffled, one window": {"shuffle": True, "seed": 0},
        "shuffled, windows of 262,144 rows": {"shuffle": True, "seed": 0, "window_rows": 1 << 18},
    }
    for name, options in kinds.items():
        for path in store.path.glob("shard*"):
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        begin = time.perf_counter()
        exhaust_views(FeatureStore.open(store.path).batches(64, **options))
        print(f"{name}: {len(store) / (time.perf_counter() - begin):,.0f}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    if len(sys.argv) > 1:
        print_tables(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            print_tables(Path(temporary))
