"""Means by series and place, against a loop."""

from __future__ import annotations

import numpy as np
import pytest

from noisymodel.study.analysis.means import means


def test_means_are_a_naive_loop_in_the_order_of_the_numbers() -> None:
    generator = np.random.default_rng(0)
    keys = [(str(generator.integers(3)), int(generator.integers(4))) for _ in range(60)]
    numbers = [(series, place, float(generator.normal())) for series, place in keys]
    found = means(numbers)
    assert list(found) == list(dict.fromkeys(series for series, _ in keys))
    for series, by_place in found.items():
        assert list(by_place) == list(dict.fromkeys(place for one, place in keys if one == series))
        for place, mean in by_place.items():
            values = [value for *key, value in numbers if key == [series, place]]
            assert mean == pytest.approx(sum(values) / len(values))


def test_nothing_has_no_means() -> None:
    assert means([]) == {}
