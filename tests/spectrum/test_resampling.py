"""Units, blocks and resamples: every row once, groups whole, the rest of the blocks without one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noisymodel.spectrum import SpectrumAccumulator
from noisymodel.spectrum.resampling import dealt, joined, leave_one_out, resampled, units_of


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 5), min_size=2, max_size=40), st.integers(2, 8), st.integers(0, 100))
def test_blocks_hold_every_row_once_and_groups_whole(groups: list[int], num_blocks: int, seed: int) -> None:
    if len(set(groups)) < 2:
        return
    units = units_of(len(groups), groups)
    assert sorted(np.concatenate(units)) == list(range(len(groups)))
    assert all(len({groups[row] for row in unit}) == 1 for unit in units)
    blocks = dealt(units, num_blocks, seed)
    assert len(blocks) == min(num_blocks, len(units))
    assert sorted(np.concatenate(blocks)) == list(range(len(groups)))
    homes = {
        group: {place for place, block in enumerate(blocks) if group in {groups[r] for r in block}} for group in groups
    }
    assert all(len(places) == 1 for places in homes.values())


def test_blocks_are_dealt_at_random_and_evenly() -> None:
    blocks = dealt(units_of(103, None), 10, seed=0)
    assert sorted(len(block) for block in blocks) == [10] * 7 + [11] * 3
    assert max(np.ptp(block) for block in blocks) > 50  # neighbours do not stay together
    assert not np.array_equal(blocks[0], dealt(units_of(103, None), 10, seed=1)[0])


def test_resamples_draw_units_with_replacement() -> None:
    units = units_of(6, [0, 0, 1, 1, 2, 2])
    drawn = list(resampled(units, seed=0, num_resamples=200))
    assert len(drawn) == 200
    assert all(len(rows) == 6 and (rows[::2] + 1 == rows[1::2]).all() for rows in drawn)
    share = np.bincount(np.concatenate(drawn), minlength=6) / 1200
    np.testing.assert_allclose(share, 1 / 6, atol=0.04)
    assert {len(set(rows.tolist())) for rows in drawn} == {2, 4, 6}


@pytest.mark.parametrize("count", [2, 3, 5, 8])
def test_each_part_is_left_out_once_in_order(count: int) -> None:
    random = np.random.default_rng(0)
    matrices = [random.standard_normal((size, 4)) for size in range(1, count + 1)]
    parts = []
    for matrix in matrices:
        parts.append(SpectrumAccumulator(4))
        parts[-1].update(matrix)
    others = list(leave_one_out(parts))
    assert len(others) == count
    for place, other in enumerate(others):
        rest = np.concatenate([matrix for index, matrix in enumerate(matrices) if index != place])
        expected = np.linalg.svd(rest, compute_uv=False)
        assert other.count == len(rest)
        np.testing.assert_allclose(other.spectrum().singular_values, expected, rtol=1e-9, atol=1e-12)
    assert joined(parts).count == sum(range(1, count + 1))
    assert [part.count for part in parts] == list(range(1, count + 1))
