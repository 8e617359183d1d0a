"""Intervals, pairing, Holm's correction and standardized effects, against scipy and naive references."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from noisymodel.study.analysis.intervals import effect_size, holm, mean_interval, paired_interval

few = settings(deadline=None, max_examples=25)
samples = st.lists(st.floats(-10, 10), min_size=2, max_size=12)


@pytest.mark.parametrize("count", [2, 3, 10])
def test_mean_interval_is_scipys_t_interval(count: int) -> None:
    values = np.random.default_rng(count).normal(0.3, 1, size=count)
    interval = mean_interval(values)
    low, high = stats.t.interval(0.95, count - 1, loc=values.mean(), scale=stats.sem(values))
    np.testing.assert_allclose([interval.mean, interval.low, interval.high], [values.mean(), low, high], rtol=1e-12)
    np.testing.assert_allclose(interval.p_value, stats.ttest_1samp(values, 0).pvalue, rtol=1e-10)
    assert interval.count == count


def test_one_value_has_no_bounds() -> None:
    interval = mean_interval([0.25])
    assert (interval.mean, interval.count) == (0.25, 1)
    assert all(map(math.isnan, (interval.low, interval.high, interval.p_value)))
    assert not interval.excludes_zero


def test_equal_values_have_no_width_and_prove_nothing() -> None:
    """Two equal differences are no evidence, neither are three, nor those that rounding has set apart."""
    for value in (0.1, -0.1):
        for values in (
            [value] * 2,
            [value] * 3,
            [value, value + 1e-17, value - 2e-17],
            [value, 0.3 - 0.2 - 0.1 + value],
        ):
            interval = mean_interval(values)
            assert (interval.low, interval.mean, interval.high) == (value, value, value)
            assert math.isnan(interval.p_value)
            assert not interval.excludes_zero
    equal = paired_interval({1: 0.3, 2: 0.8}, {1: 0.2, 2: 0.7})
    assert 0.3 - 0.2 != 0.8 - 0.7
    assert math.isnan(equal.p_value)
    assert not equal.excludes_zero
    assert (mean_interval([0.0] * 3).p_value, mean_interval([0.0] * 3).excludes_zero) == (1.0, False)


def test_nan_stays_visible() -> None:
    interval = mean_interval([1.0, math.nan])
    assert math.isnan(interval.mean)
    assert math.isnan(interval.low)
    assert not interval.excludes_zero


@pytest.mark.parametrize(("values", "shape"), [([], r"\(0,\)"), ([[1.0]], r"\(1, 1\)"), (1.0, r"\(\)")])
def test_mean_interval_wants_a_row_of_values(values: object, shape: str) -> None:
    with pytest.raises(ValueError, match=rf"`values` must have shape \(n,\).*got {shape}"):
        mean_interval(values)


@few
@given(samples, st.floats(-5, 5), st.floats(0.1, 4))
def test_interval_moves_and_stretches_with_the_values(values: list[float], offset: float, scale: float) -> None:
    plain, moved = mean_interval(values), mean_interval([scale * value + offset for value in values])
    expected = [scale * number + offset for number in (plain.mean, plain.low, plain.high)]
    np.testing.assert_allclose([moved.mean, moved.low, moved.high], expected, atol=1e-6)


@few
@given(samples)
def test_interval_excludes_zero_exactly_where_p_is_below_5_percent(values: list[float]) -> None:
    interval = mean_interval(values)
    if abs(interval.p_value - 0.05) > 1e-6:
        assert interval.excludes_zero == (interval.p_value < 0.05)


def test_paired_interval_is_scipys_paired_test() -> None:
    generator = np.random.default_rng(3)
    left, right = generator.normal(size=6), generator.normal(size=6)
    seeds = [9, 2, 5, 1, 7, 3]
    interval = paired_interval(dict(zip(seeds, left, strict=True)), dict(zip(seeds, right, strict=True)))
    np.testing.assert_allclose(interval.p_value, stats.ttest_rel(left, right).pvalue, rtol=1e-10)
    np.testing.assert_allclose(interval.mean, (left - right).mean(), rtol=1e-12)


def test_pairs_are_made_by_seed_and_not_by_position() -> None:
    assert paired_interval({1: 1.0, 2: 2.0}, {2: 1.5, 1: 0.5}).low == 0.5


def naive_holm(p_values: list[float]) -> list[float]:
    """Holm 1979, from the definition: max over all p_j ≤ p_i of (m − #{p < p_j}) p_j, capped at 1."""
    count = len(p_values)

    def adjusted(p: float) -> float:
        below = [(count - sum(other < q for other in p_values)) * q for q in p_values if q <= p]
        return min(1.0, max(below))

    return [adjusted(p) for p in p_values]


@few
@given(st.lists(st.floats(0, 1), min_size=1, max_size=10, unique=True))
def test_holm_is_the_naive_reference(p_values: list[float]) -> None:
    np.testing.assert_allclose(holm(p_values), naive_holm(p_values))


def test_holm_does_not_count_what_is_unknown() -> None:
    corrected = holm([0.01, math.nan, 0.02])
    assert corrected[0] == 0.02
    assert math.isnan(corrected[1])
    assert corrected[2] == 0.02


def naive_effect(values: list[float]) -> tuple[float, float, float]:
    """d, and the noncentralities at which t has probability 97.5 and 2.5 % below it, found by bisection."""
    count, root = len(values), math.sqrt(len(values))
    size = float(np.mean(values) / np.std(values, ddof=1))

    def bound(quantile: float) -> float:
        def excess(noncentrality: float) -> float:
            return float(stats.nct.cdf(size * root, count - 1, noncentrality)) - quantile

        return optimize.brentq(excess, size * root - 6, size * root + 6) / root

    return size, bound(0.975), bound(0.025)


@pytest.mark.parametrize("values", [[0.5, 1.0, 1.8], [-0.3, 0.1, 0.2, -0.4, 0.0], [-2.0, -1.5, -1.0, -1.7]])
def test_effect_size_inverts_the_noncentral_t(values: list[float]) -> None:
    interval = mean_interval(values)
    found = effect_size(interval.mean, interval.low, interval.high, len(values))
    np.testing.assert_allclose(found, naive_effect(values), rtol=1e-4, atol=1e-4)


def test_effects_without_spread_or_with_one_seed_are_unknown() -> None:
    for values in ([0.1], [0.1, 0.1]):
        interval = mean_interval(values)
        assert all(map(math.isnan, effect_size(interval.mean, interval.low, interval.high, len(values))))
