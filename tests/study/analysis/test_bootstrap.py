"""Scores and bootstrap of correlations, against scipy and a naive loop."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from noisymodel.study.analysis.bootstrap import estimate, resampled_seeds, scores

few = settings(deadline=None, max_examples=25)
OPTIONS = [(rates_too, ranks) for rates_too in (False, True) for ranks in (False, True)]


def naive(left: np.ndarray, right: np.ndarray, drawn: np.ndarray, rates_too: bool, ranks: bool) -> float:
    """The correlation of one resample, written from the definition with scipy."""
    flat = []
    for values in (left, right):
        rows = [[value - sum(values[seed]) / len(values[seed]) for value in values[seed]] for seed in drawn]
        if rates_too:
            means = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
            rows = [[value - mean for value, mean in zip(row, means, strict=True)] for row in rows]
        flat.append([round(value, 12) for row in rows for value in row])
    return (stats.spearmanr if ranks else stats.pearsonr)(*flat).statistic


@pytest.mark.parametrize(("rates_too", "ranks"), OPTIONS)
def test_estimate_is_a_naive_loop_over_resamples(rates_too: bool, ranks: bool) -> None:
    generator = np.random.default_rng(4)
    left = generator.normal(size=(5, 4))
    right = 0.5 * left + generator.normal(size=(5, 4))
    drawn = resampled_seeds(5, seed=3, resamples=60)
    expected = [naive(left, right, seeds, rates_too, ranks) for seeds in drawn if len(set(seeds)) > 1 or not rates_too]
    found = estimate(*(scores(side, drawn, rates_too=rates_too, ranks=ranks) for side in (left, right)), seeds=5)
    np.testing.assert_allclose(found.value, expected[0], rtol=1e-9)
    np.testing.assert_allclose([found.low, found.high], np.quantile(expected[1:], [0.025, 0.975]), rtol=1e-7)


def test_resamples_hold_whole_seeds_and_begin_with_the_sample() -> None:
    drawn = resampled_seeds(4, seed=0, resamples=500)
    assert drawn.shape == (501, 4)
    np.testing.assert_array_equal(drawn[0], range(4))
    assert set(np.unique(drawn)) == {0, 1, 2, 3}
    np.testing.assert_array_equal(drawn, resampled_seeds(4, seed=0, resamples=500))
    assert not np.array_equal(drawn, resampled_seeds(4, seed=1, resamples=500))


@few
@given(arrays(float, (4, 3), elements=st.floats(-1, 1)), arrays(float, 4, elements=st.floats(-5, 5)))
def test_what_is_common_to_a_seed_does_not_count(values: np.ndarray, offsets: np.ndarray) -> None:
    drawn = resampled_seeds(4, seed=1, resamples=5)
    plain = scores(values, drawn, rates_too=False, ranks=False)
    moved = scores(values + offsets[:, None], drawn, rates_too=False, ranks=False)
    if np.ptp(values - values.mean(1, keepdims=True)) > 1e-3:
        np.testing.assert_allclose(moved, plain, atol=1e-6)


def test_what_is_common_to_a_rate_counts_across_rates_alone() -> None:
    generator = np.random.default_rng(0)
    rates = np.array([0.0, 1.0, 2.0, 3.0])
    left, right = (rates + 0.01 * generator.normal(size=(8, 4)) for _ in range(2))
    drawn = resampled_seeds(8, seed=0, resamples=400)
    across, within = (
        estimate(*(scores(side, drawn, rates_too=rates_too, ranks=False) for side in (left, right)), seeds=8)
        for rates_too in (False, True)
    )
    assert across.low > 0.99
    assert within.low < 0 < within.high


def test_without_variation_there_is_no_correlation() -> None:
    drawn = resampled_seeds(4, seed=0, resamples=20)
    flat = np.full((4, 3), 0.1) + np.arange(4)[:, None]
    other = np.random.default_rng(0).normal(size=(4, 3))
    found = estimate(*(scores(side, drawn, rates_too=False, ranks=False) for side in (flat, other)), seeds=4)
    assert all(map(math.isnan, found))


def test_two_seeds_have_no_interval() -> None:
    drawn = resampled_seeds(2, seed=0, resamples=50)
    left = np.random.default_rng(0).normal(size=(2, 4))
    found = estimate(*(scores(side, drawn, rates_too=False, ranks=False) for side in (left, -left)), seeds=2)
    assert found.value == pytest.approx(-1)
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_often_undefined_resamples_give_no_interval() -> None:
    """One of four seeds varies: it is missing in a third of the resamples."""
    left = np.zeros((4, 3))
    left[0] = [0, 1, 2]
    drawn = resampled_seeds(4, seed=0, resamples=200)
    found = estimate(*(scores(left, drawn, rates_too=False, ranks=False),) * 2, seeds=4)
    assert found.value == pytest.approx(1)
    assert math.isnan(found.low)
