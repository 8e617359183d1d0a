"""Several ranks, one store: rows once each and in the data's order, whoever dies."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from noisymodel import FeatureStore
from noisymodel.errors import FeatureStoreError
from noisymodel.features import extract
from noisymodel.features.extraction import ranks as sharing


class Rows(Dataset):
    """Row i is (i, i², 1); which rows are read is kept."""

    def __init__(self, count: int) -> None:
        self.count, self.read = count, []

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, int, str]:
        self.read.append(index)
        return torch.tensor([float(index), float(index) ** 2, 1.0]), index % 3, f"row {index}"


def backbone() -> nn.Module:
    with torch.random.fork_rng(), torch.no_grad():
        layer = nn.Linear(3, 4, bias=False)
        layer.weight.copy_(torch.arange(12.0).reshape(4, 3) / 10)
    return nn.Sequential(layer, nn.ReLU())


def expected(count: int) -> Tensor:
    rows = Rows(count)
    with torch.no_grad():
        return backbone()(torch.stack([rows[index][0] for index in range(count)]))


def check(store: FeatureStore, count: int) -> None:
    torch.testing.assert_close(store[:], expected(count))
    assert store.labels is not None
    assert store.labels[:].tolist() == [index % 3 for index in range(count)]
    assert list(store.ids[:]) == [f"row {index}" for index in range(count)]
    store.verify()
    assert not (store.path / sharing.PARTS).exists()


def shared(rank: int, path: str, count: int, size: int, **options: Any) -> tuple[int, list[int]]:
    rows = Rows(count)
    store = extract(backbone(), DataLoader(rows, batch_size=size), path, **options)
    return len(store), rows.read


@pytest.mark.parametrize(("world", "count", "size"), [(2, 50, 3), (4, 17, 4), (3, 2, 1)])
def test_the_store_is_that_of_one_process(
    on_ranks: Callable[..., list], tmp_path: Path, world: int, count: int, size: int
) -> None:
    found = on_ranks(shared, str(tmp_path / "store"), count, size, world=world)
    assert [length for length, _ in found] == [count] * world
    check(FeatureStore.open(tmp_path / "store"), count)
    read = sorted(index for _, rows in found for index in rows)
    assert read == list(range(count))  # nobody reads what others compute
    again = on_ranks(shared, str(tmp_path / "store"), count, size, world=2)
    assert sorted(index for _, rows in again for index in rows) == list(range(min(size, count)))  # compared
    loader = DataLoader(Rows(count), batch_size=size, generator=torch.Generator())
    single = extract(backbone(), loader, tmp_path / "alone")
    single.check_backbone(FeatureStore.open(tmp_path / "store"))


def listed(rank: int, path: str) -> dict[str, tuple[int, ...]]:
    rows = Rows(23)
    batches = (
        {"input": torch.stack([rows[index][0] for index in part]), "label": [index % 3 for index in part]}
        for part in np.array_split(range(23), 6)
    )
    stores = extract(backbone(), batches, path, layer=["0", "output"])
    return {name: store.shape for name, store in stores.items()}


def test_batches_of_any_kind_and_several_layers(on_ranks: Callable[..., list], tmp_path: Path) -> None:
    assert on_ranks(listed, str(tmp_path), world=2) == [{"0": (23, 4), "output": (23, 4)}] * 2
    torch.testing.assert_close(FeatureStore.open(tmp_path / "output")[:], expected(23))


def test_a_run_of_one_process_goes_on_with_two(on_ranks: Callable[..., list], tmp_path: Path) -> None:
    path = tmp_path / "store"
    extract(backbone(), DataLoader(Rows(22), batch_size=3, generator=torch.Generator()), path)
    with pytest.raises(AssertionError, match="has 22 rows, more than the 10 of the loader"):
        on_ranks(shared, str(path), 10, 5, world=2)
    assert on_ranks(shared, str(path), 50, 5, world=2)[1][0] == 50
    check(FeatureStore.open(path), 50)


def failing(rank: int, path: str) -> str:
    rows = Rows(8)
    loaders: list[Any] = [
        DataLoader(rows, batch_size=2, shuffle=True),
        DataLoader(rows, batch_size=2, sampler=DistributedSampler(rows, shuffle=False)),
        DataLoader(Rows(8 + rank), batch_size=2),
        iter([]),
    ]
    told = []
    for place, loader in enumerate(loaders):
        with pytest.raises((ValueError, FeatureStoreError)) as caught:
            extract(backbone(), loader, f"{path}/{place}")
        told.append(str(caught.value))
    return "\n".join(told)


def test_loaders_that_differ_between_ranks_are_refused(on_ranks: Callable[..., list], tmp_path: Path) -> None:
    told = on_ranks(failing, str(tmp_path), world=2)
    assert told[0] == told[1]
    for part in (
        "`loader` shuffles, and several ranks need one order",
        "leave its DistributedSampler out",
        r"the ranks saw [8, 9] rows",
        "`loader` has no batches",
    ):
        assert part in told[0]


def test_what_dead_ranks_had_finished_counts(on_ranks: Callable[..., list], tmp_path: Path) -> None:
    path = tmp_path / "store"
    assert on_ranks(stopped, str(path), world=2) == ["died"] * 2
    there = len(FeatureStore.open(path))
    finished = [one.with_suffix("") for one in (path / sharing.PARTS).glob("*.done")]
    there += sum(len(FeatureStore.open(part)) for part in finished)
    assert there == 30  # all blocks before the two that failed, in the store or beside it
    found = on_ranks(shared, str(path), 60, 3, world=3)
    check(FeatureStore.open(path), 60)
    assert sorted(index for _, rows in found for index in rows) == [0, 1, 2, *range(30, 60)]


def unmarked(rank: int, path: str) -> str:
    """Die when all rows of a block are in its folder, and the mark that it is complete is not."""
    write = sharing.write_file

    def dying(file: Path, content: bytes) -> None:
        if file.suffix == ".done":
            raise RuntimeError("died")
        write(file, content)

    sharing.write_file = dying
    try:
        extract(backbone(), DataLoader(Rows(60), batch_size=3), path)
    except RuntimeError as error:
        return str(error)
    finally:
        sharing.write_file = write
    return "lived"


def test_a_block_whose_mark_was_not_written_is_marked_by_the_next_run(
    on_ranks: Callable[..., list], tmp_path: Path
) -> None:
    path = tmp_path / "store"
    assert on_ranks(unmarked, str(path), world=2) == ["died"] * 2
    on_ranks(shared, str(path), 60, 3, world=2)
    check(FeatureStore.open(path), 60)


def stopped(rank: int, path: str) -> str:
    class Dying(Rows):
        def __getitem__(self, index: int) -> tuple[Tensor, int, str]:
            if index in (30, 36):
                raise RuntimeError("died")
            return super().__getitem__(index)

    try:
        extract(backbone(), DataLoader(Dying(60), batch_size=3), path)
    except RuntimeError as error:
        return str(error)
    return "lived"


KILLED = """
import os, random, sys, time
import torch
from torch import distributed
sys.path.insert(0, sys.argv[2])
from features.extraction.test_ranks import Rows, backbone
from noisymodel.features import extract
from torch.utils.data import DataLoader
rank, seconds = int(os.environ["RANK"]), float(sys.argv[3])
class Slow(Rows):
    def __getitem__(self, index):
        time.sleep(0.004)
        if seconds and time.monotonic() > end:
            os.kill(os.getpid(), 9)
        return super().__getitem__(index)
distributed.init_process_group("gloo")
end = time.monotonic() + seconds
extract(backbone(), DataLoader(Slow(300), batch_size=4), sys.argv[1], shard_rows=9)
distributed.destroy_process_group()
"""


@pytest.mark.slow
def test_ranks_that_are_killed_at_random(tmp_path: Path) -> None:
    tests, path = str(Path(__file__).parents[2]), tmp_path / "store"
    draw = np.random.default_rng(0)
    for attempt in range(6):
        environment = os.environ | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2"}
        environment["PYTHONPATH"] = os.pathsep.join([tests, os.environ.get("PYTHONPATH", "")])
        dies, when = int(draw.integers(2)), float(draw.uniform(0.05, 0.4))
        processes = []
        for rank in range(2):
            seconds = str(when if rank == dies and attempt < 5 else 0)
            arguments = [sys.executable, "-c", KILLED, str(path), tests, seconds]
            processes.append(subprocess.Popen(arguments, env=environment | {"RANK": str(rank)}, stderr=subprocess.PIPE))
        ended = time.monotonic() + 120
        while any(process.poll() is None for process in processes) and time.monotonic() < ended:
            if any(process.poll() for process in processes):  # as torchrun does
                for process in processes:
                    process.kill()
            time.sleep(0.05)
        codes = [process.wait() for process in processes]
        for process in processes:
            process.communicate()
        if codes == [0, 0]:
            break
        if path.exists() and (path / "manifest.json").exists():
            rows = FeatureStore.open(path)
            torch.testing.assert_close(rows[:], expected(300)[: len(rows)])  # never a gap
    check(FeatureStore.open(path), 300)


def free_port() -> int:
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]
