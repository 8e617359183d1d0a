"""The global batch without a process group; with one: `test_losses_distributed.py`."""

from __future__ import annotations

import pytest
import torch

from noisymodel import _gather


def test_without_a_process_group_every_rank_is_the_only_one() -> None:
    rows = torch.arange(6.0).reshape(3, 2)
    assert _gather.resolve_group(False) is None
    assert _gather.resolve_group(True) is None
    assert _gather.world_size(None) == 1
    assert _gather.batch_sizes(rows, None) == [3]
    assert _gather.own_slice([3], None) == slice(0, 3)
    assert _gather.gather_rows(rows, [3], None) is rows
    assert _gather.sum_over_ranks(rows, None) is rows
    assert _gather.global_mean(rows[:, 0], None) == 2


@pytest.mark.parametrize("bad", [1, 0, None, "world", object()])
def test_gather_is_a_flag_or_a_group(bad: object) -> None:
    with pytest.raises(TypeError, match=r"`gather` must be False, True or a torch\.distributed process group, got"):
        _gather.resolve_group(bad)
