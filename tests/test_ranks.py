"""The processes that tests of several ranks share: results in order, failures with their traceback, nothing hangs."""

from __future__ import annotations

import os
import time

import pytest
import torch
import torch.distributed as dist

from ranks import RankError, Ranks


def total(rank: int, start: float, *, factor: float = 1.0) -> tuple[int, int, torch.Tensor]:
    value = torch.tensor(factor * (start + rank))
    dist.all_reduce(value)
    return rank, dist.get_world_size(), value


def process_id(rank: int) -> int:
    return os.getpid()


def fails_on_one(rank: int) -> None:
    if rank == 1:
        raise KeyError("of rank one")
    dist.barrier()


def dies_on_one(rank: int) -> None:
    if rank == 1:
        os._exit(3)
    dist.barrier()


def sleeps(rank: int) -> None:
    time.sleep(60 * rank)


def test_results_come_in_order_from_the_same_processes(on_ranks: Ranks) -> None:
    before = on_ranks(process_id, world=4)
    assert len({os.getpid(), *before}) == 5
    for world in (1, 2, 3, 4):
        found = on_ranks(total, 1.0, factor=2.0, world=world)
        expected = 2.0 * sum(1.0 + rank for rank in range(world))
        assert found == [(rank, world, torch.tensor(expected)) for rank in range(world)]
    assert on_ranks(process_id, world=4) == before
    with pytest.raises(ValueError, match="`world` must be between 1 and 4, got 5"):
        on_ranks(process_id, world=5)


@pytest.mark.slow
def test_failures_are_told_and_the_next_call_has_other_processes() -> None:
    ranks = Ranks()
    try:
        with pytest.raises(RankError, match=r"(?s)rank 1 of 2:\nTraceback.*fails_on_one.*KeyError: 'of rank one'"):
            ranks(fails_on_one)
        with pytest.raises(RankError, match="rank 1 of 2:\nthe process died"):
            ranks(dies_on_one)
        with pytest.raises(RankError, match=r"no answer of the ranks \[1\] in 1 s"):
            ranks(sleeps, timeout=1.0)
        assert ranks(total, 1.0)[0][2] == 3.0
    finally:
        ranks.stop()
