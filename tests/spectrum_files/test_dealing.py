"""Dealing rows to parts: evenly, at random, by the row's number alone; and nothing is lost."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from noisymodel.spectrum import analyze
from noisymodel.spectrum.resampling import joined
from noisymodel.spectrum_files import dealing
from noisymodel.spectrum_files.dealing import Parts, part_numbers
from spectrum_files.conftest import features

SETTINGS = {"method": "tsqr", "center_rows": False, "normalize": False}


def test_each_round_gives_one_row_to_each_part_in_random_order() -> None:
    places = part_numbers(0, 5000, 5, seed=3)
    rounds = places.reshape(-1, 5)
    np.testing.assert_array_equal(np.sort(rounds, axis=1), np.tile(np.arange(5), (1000, 1)))
    assert len(np.unique(rounds, axis=0)) == 120, "every order comes"
    assert not np.array_equal(places, part_numbers(0, 5000, 5, seed=4))


def test_the_part_depends_on_the_rows_number_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dealing, "_PAGE", 16)
    whole = part_numbers(0, 500, 7, seed=0)
    cuts = [0, 1, 111, 112, 113, 400, 500]
    parts = [part_numbers(a, b, 7, seed=0) for a, b in pairwise(cuts)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert len(part_numbers(5, 5, 7, seed=0)) == 0


@pytest.mark.parametrize("num_parts", [1, 4, 50])
@pytest.mark.parametrize("size", [1, 37, 230])
def test_all_rows_arrive_once(num_parts: int, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = features()
    if size == 37:
        monkeypatch.setattr(dealing, "_HAND_BYTES", 1)  # deals whenever rows come
    parts = Parts(6, num_parts, 0, SETTINGS)
    for block in torch.from_numpy(rows).split(size):
        parts.update(block)
    found = parts.finish()
    counts = [part.count for part in found]
    assert sum(counts) == 230
    assert max(counts) - min(counts) <= 1
    assert len(found) == num_parts
    expected = analyze(rows)
    assert joined(found).spectrum().entropy == pytest.approx(expected.entropy, rel=1e-9)
    if num_parts > 1:
        places = part_numbers(0, 230, num_parts, seed=0)
        alone = analyze(rows[places == 2])
        np.testing.assert_allclose(found[2].spectrum().singular_values[: len(alone.singular_values)],
                                   alone.singular_values, rtol=1e-9)  # fmt: skip


def test_parts_without_rows_are_left_out() -> None:
    parts = Parts(6, 20, 0, SETTINGS)
    parts.update(torch.from_numpy(features(3)))
    assert [part.count for part in parts.finish()] == [1, 1, 1]
