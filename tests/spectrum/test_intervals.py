"""Jackknife and bootstrap intervals: the definitions, what they cover, pairs, groups, accumulators, bad input."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from noisymodel.spectrum import (
    PopulationBiasWarning,
    SpectrumAccumulator,
    analyze,
    bootstrap_intervals,
    jackknife_intervals,
)
from reference import resampling as naive

BOTH = pytest.mark.parametrize("intervals", [jackknife_intervals, bootstrap_intervals])
FAST = {jackknife_intervals: {"num_blocks": 4}, bootstrap_intervals: {"num_resamples": 4}}


def gaussian(num_rows: int, num_features: int, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((num_rows, num_features))
    return rows / np.sqrt(np.arange(1, num_features + 1))


def sve(found) -> float:
    return found["entropy"]


# --- the definitions


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 1000), st.integers(2, 9), st.sampled_from([(40, 5), (12, 20)]), st.sampled_from([0.5, 0.95]))
def test_the_jackknife_equals_its_definition(seed: int, blocks: int, shape: tuple[int, int], level: float) -> None:
    random = np.random.default_rng(seed)
    rows = random.standard_normal(shape)
    groups = random.permutation(np.r_[np.arange(blocks), random.integers(blocks, size=len(rows) - blocks)])
    left_out, corrected, error = naive.jackknife(rows, groups)
    for target, middle in (("sample", naive.entropy(rows)), ("population", corrected)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PopulationBiasWarning)
            found = sve(jackknife_intervals(rows, groups=groups, target=target, level=level))
        low, high = naive.t_bounds(middle, error, blocks, level)
        assert sorted(found.replicates) == pytest.approx(sorted(left_out), rel=1e-9)
        assert (found.value, found.standard_error) == pytest.approx((naive.entropy(rows), error), rel=1e-7)
        assert (found.low, found.high) == pytest.approx((low, high), rel=1e-9)
        assert found.estimate == pytest.approx(middle, rel=1e-9)
        assert found.bias == pytest.approx(naive.entropy(rows) - corrected, rel=1e-6, abs=1e-12)
        assert (found.level, found.target) == (level, target)


def test_leaving_out_single_rows_is_the_plain_jackknife() -> None:
    rows = gaussian(25, 4)
    _, _, error = naive.jackknife(rows, np.arange(25))
    assert sve(jackknife_intervals(rows, num_blocks=25)).standard_error == pytest.approx(error, rel=1e-7)
    assert sve(jackknife_intervals(rows, num_blocks=1000)).standard_error == pytest.approx(error, rel=1e-7)


@pytest.mark.parametrize("level", [0.5, 0.95])
def test_the_bootstrap_equals_its_definition(level: float) -> None:
    rows = gaussian(60, 5)
    sample = sve(bootstrap_intervals(rows, level=level, num_resamples=50))
    population = sve(bootstrap_intervals(rows, level=level, num_resamples=50, target="population"))
    drawn = sample.replicates
    assert drawn.shape == (50,)
    np.testing.assert_array_equal(drawn, population.replicates)
    assert sample.standard_error == pytest.approx(np.std(drawn, ddof=1), rel=1e-12)
    assert sample.bias == pytest.approx(np.mean(drawn) - naive.entropy(rows), rel=1e-6)
    half = stats.norm.ppf(0.5 + level / 2) * sample.standard_error
    assert (sample.low, sample.high) == pytest.approx((sample.value - half, sample.value + half), rel=1e-12)
    upper, lower = np.quantile(drawn, [0.5 + level / 2, 0.5 - level / 2])
    assert (population.low, population.high) == pytest.approx((2 * sample.value - upper, 2 * sample.value - lower))
    assert population.estimate == pytest.approx(population.value - population.bias, rel=1e-12)


def test_resamples_hold_whole_rows_drawn_with_replacement() -> None:
    rows = np.diag(2.0 ** np.arange(5))

    def distinct(spectrum) -> float:
        counts = (spectrum.singular_values[spectrum.singular_values > 1e-9] / 1.0) ** 2
        found = 0
        for square in counts:  # c · 4^i with c copies of row i
            power = next(4**i for i in range(5) for c in range(1, 6) if square == pytest.approx(c * 4**i, rel=1e-9))
            found += power > 0
        return float(found)

    found = bootstrap_intervals(rows, {"rows": distinct}, num_resamples=100)["rows"]
    assert found.value == 5
    assert set(found.replicates) <= {1.0, 2.0, 3.0, 4.0, 5.0}
    assert np.mean(found.replicates) == pytest.approx(5 * (1 - 0.8**5), abs=0.3)


# --- what they cover


@pytest.fixture(scope="module")
def simulated() -> dict[str, np.ndarray]:
    """Bounds (draws, 2) of the SVE of 80 rows of 12 features, and what they should hold."""
    singular = np.linalg.svd(np.stack([gaussian(80, 12, 10_000 + draw) for draw in range(1000)]), compute_uv=False)
    share = singular / singular.sum(axis=1, keepdims=True)
    true = np.sqrt(1 / np.arange(1, 13))
    found: dict[str, list[tuple[float, float]]] = {}
    for draw in range(80):
        rows = gaussian(80, 12, draw)
        jackknife = {target: sve(jackknife_intervals(rows, ["entropy"], target=target)) for target in TARGETS}
        bootstrap = sve(bootstrap_intervals(rows, ["entropy"], num_resamples=60))
        for target, interval in jackknife.items():
            found.setdefault(f"jackknife {target}", []).append((interval.low, interval.high))
        found.setdefault("bootstrap sample", []).append((bootstrap.low, bootstrap.high))
        low, high = np.quantile(bootstrap.replicates, [0.025, 0.975])
        found.setdefault("percentiles", []).append((low, high))
        found.setdefault("bootstrap population", []).append((2 * bootstrap.value - high, 2 * bootstrap.value - low))
    return {name: np.array(bounds) for name, bounds in found.items()} | {
        "sample": np.mean(-np.sum(share * np.log(share), axis=1)),
        "population": np.array(-np.sum(true / true.sum() * np.log(true / true.sum()))),
    }


TARGETS = ("sample", "population")


@pytest.mark.parametrize("method", ["jackknife", "bootstrap"])
@pytest.mark.parametrize("target", TARGETS)
def test_intervals_cover_what_they_are_for(simulated: dict[str, np.ndarray], method: str, target: str) -> None:
    bounds, answer = simulated[f"{method} {target}"], simulated[target]
    covered = int(np.sum((bounds[:, 0] <= answer) & (answer <= bounds[:, 1])))
    assert covered >= 69  # of 80; a true 95 % is below once in 800 times, and the draws are always the same
    other = simulated[TARGETS[target == "sample"]]
    assert np.sum((bounds[:, 0] <= other) & (other <= bounds[:, 1])) <= 60  # the two targets are not the same


def test_percentiles_cover_neither(simulated: dict[str, np.ndarray]) -> None:
    bounds = simulated["percentiles"]
    for target in TARGETS:
        answer = simulated[target]
        assert np.mean((bounds[:, 0] <= answer) & (answer <= bounds[:, 1])) < 0.6


def test_the_jackknife_covers_with_fewer_rows_than_features() -> None:
    singular = np.linalg.svd(np.stack([gaussian(20, 30, 5000 + draw) for draw in range(500)]), compute_uv=False)
    share = singular / singular.sum(axis=1, keepdims=True)
    answer = np.mean(-np.sum(share * np.log(share), axis=1))
    found = [sve(jackknife_intervals(gaussian(20, 30, draw), ["entropy"])) for draw in range(50)]
    assert sum(interval.low <= answer <= interval.high for interval in found) >= 44


def test_the_bias_is_that_of_a_finite_sample() -> None:
    rows, answer = gaussian(400, 8), np.sqrt(1 / np.arange(1, 9))
    answer = -np.sum(answer / answer.sum() * np.log(answer / answer.sum()))
    mean = np.mean([naive.entropy(gaussian(400, 8, 100 + draw)) for draw in range(300)])
    for found in (sve(jackknife_intervals(rows)), sve(bootstrap_intervals(rows))):
        assert found.bias == pytest.approx(mean - answer, rel=0.35)


# --- options


@BOTH
@pytest.mark.parametrize(
    "options", [{"center": "column"}, {"center": "row"}, {"normalize": True}, {"preset": "official"}]
)
def test_rows_are_prepared_as_by_analyze(intervals, options: dict) -> None:
    rows = gaussian(30, 6) + 1.0
    found = intervals(rows, ["entropy", "stable_rank", "rankme"], **options, **FAST[intervals])
    spectrum = analyze(rows, **options)
    assert found["entropy"].value == pytest.approx(spectrum.entropy, rel=1e-9)
    assert found["stable_rank"].value == pytest.approx(spectrum.stable_rank, rel=1e-9)
    assert found["rankme"].value == pytest.approx(spectrum.rankme(), rel=1e-9)
    plain = intervals(rows, ["entropy"], **FAST[intervals])["entropy"].replicates
    assert not np.allclose(found["entropy"].replicates, plain, rtol=1e-6)


@BOTH
def test_default_metrics_and_own_functions(intervals) -> None:
    rows = gaussian(40, 5)
    assert list(intervals(rows, **FAST[intervals])) == ["entropy", "largest_ratio", "effective_rank"]
    own = {"first share": lambda spectrum: spectrum.explained(1), "steep": lambda s: s.power_law_exponent((1, 5))}
    found = intervals(rows, own, **FAST[intervals])
    assert list(found) == ["first share", "steep"]
    assert found["first share"].value == pytest.approx(analyze(rows).explained(1), rel=1e-9)
    assert found["first share"].standard_error > 0


@BOTH
def test_own_functions_see_values_of_the_features_kind(intervals) -> None:
    rows = gaussian(40, 5)
    for kind, expected in ((rows, np.ndarray), (torch.from_numpy(rows), torch.Tensor)):
        seen: set[type] = set()
        intervals(kind, {"kind": lambda s, seen=seen: seen.add(type(s.singular_values)) or 0.0}, **FAST[intervals])
        assert seen == {expected}


@BOTH
def test_the_seed_decides_which_rows(intervals) -> None:
    rows = gaussian(40, 5)
    first, again, other = (sve(intervals(rows, seed=seed, **FAST[intervals])) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.replicates, again.replicates)
    assert not np.allclose(first.replicates, other.replicates, rtol=1e-6)
    assert first.value == pytest.approx(other.value, rel=1e-12)


@BOTH
def test_torch_and_numpy_and_half_precision_give_the_same(intervals) -> None:
    rows = gaussian(40, 5).astype(np.float16)
    expected = sve(intervals(rows.astype(np.float64), **FAST[intervals]))
    for kind in (rows, torch.from_numpy(rows), torch.from_numpy(rows).to(torch.float32)):
        before = kind.copy() if isinstance(kind, np.ndarray) else kind.clone()
        found = sve(intervals(kind, **FAST[intervals]))
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-12)
        assert (before == kind).all()


def test_printed_and_frozen() -> None:
    found = sve(jackknife_intervals(gaussian(100, 4)))
    assert str(found) == f"{found.value:.5g} [{found.low:.5g}, {found.high:.5g}]"
    assert "replicates" not in repr(found)
    with pytest.raises(AttributeError, match="cannot assign"):
        found.low = 0.0


# --- two models on the same rows


@BOTH
def test_a_difference_leaves_out_the_same_rows_of_both(intervals) -> None:
    rows = gaussian(60, 6)
    other = np.tanh(rows) @ np.random.default_rng(1).standard_normal((6, 9))
    first, second = (intervals(matrix, ["entropy", "stable_rank"]) for matrix in (rows, other))
    paired = intervals(rows, ["entropy", "stable_rank"], against=other)
    for name, found in paired.items():
        assert found.value == pytest.approx(first[name].value - second[name].value, rel=1e-9)
        np.testing.assert_allclose(found.replicates, first[name].replicates - second[name].replicates, atol=1e-12)
        assert found.low < found.value < found.high
    nothing = sve(intervals(rows, against=rows.copy(), **FAST[intervals]))
    assert (nothing.value, nothing.low, nothing.high) == (0.0, 0.0, 0.0)


def test_pairs_are_worth_more_than_two_intervals() -> None:
    rows = gaussian(200, 6)
    similar = rows + 0.01 * gaussian(200, 6, seed=1)
    paired = sve(jackknife_intervals(rows, against=similar)).standard_error
    alone = sve(jackknife_intervals(rows)).standard_error
    assert paired < 0.2 * alone


# --- groups and accumulators


def test_copies_in_one_group_change_nothing_and_without_groups_pretend_precision() -> None:
    rows = gaussian(40, 5)
    copies, groups = np.repeat(rows, 3, axis=0), np.repeat([f"image {i}" for i in range(40)], 3)
    alone = sve(jackknife_intervals(rows, num_blocks=40))
    grouped = sve(jackknife_intervals(copies, groups=groups, num_blocks=40))
    assert (grouped.value, grouped.low, grouped.high) == pytest.approx((alone.value, alone.low, alone.high), rel=1e-9)
    assert sve(jackknife_intervals(copies, num_blocks=120)).standard_error < 0.75 * alone.standard_error
    drawn = sve(bootstrap_intervals(copies, groups=np.repeat(np.arange(40), 3)))
    assert drawn.standard_error == pytest.approx(sve(bootstrap_intervals(rows)).standard_error, rel=1e-9)


def test_groups_are_dealt_to_blocks_whole() -> None:
    rows = np.repeat(gaussian(12, 3), 2, axis=0)
    found = jackknife_intervals(rows, {"rows": lambda s: float(s.num_samples)}, groups=np.arange(24) // 2, num_blocks=5)
    assert sorted(found["rows"].replicates) == [18, 18, 20, 20, 20]
    by_torch = jackknife_intervals(rows, groups=torch.arange(24) // 2, num_blocks=5)
    assert sve(by_torch) == sve(jackknife_intervals(rows, groups=np.arange(24) // 2, num_blocks=5))


@pytest.mark.parametrize("center", ["none", "column"])
@pytest.mark.parametrize("method", ["tsqr", "gram"])
def test_accumulators_are_blocks(center: str, method: str) -> None:
    rows, groups = gaussian(90, 6) + 0.5, np.arange(90) % 7
    parts = []
    for group in range(7):
        parts.append(SpectrumAccumulator(6, method=method, center_rows=True))
        for batch in np.array_split(rows[groups == group], 3):
            parts[-1].update(batch)
    parts.append(SpectrumAccumulator(6, method=method, center_rows=True))  # of a worker that saw no rows
    centred = rows - rows.mean(axis=1, keepdims=True)
    expected = sve(jackknife_intervals(centred, groups=groups, center=center))
    found = sve(jackknife_intervals(parts, center=center))
    tolerance = 1e-9 if method == "tsqr" else 1e-6  # row centring makes the features rank-deficient
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=tolerance)
    assert [part.count for part in parts] == [*np.bincount(groups), 0]
    difference = sve(jackknife_intervals(parts, against=parts, center=center))
    assert (difference.low, difference.high) == (0.0, 0.0)


# --- the odd cases


@BOTH
def test_a_zero_spectrum_has_no_interval(intervals) -> None:
    found = sve(intervals(np.zeros((30, 3)), **FAST[intervals]))
    assert all(math.isnan(number) for number in (found.value, found.low, found.high, found.standard_error))


def test_an_infinite_metric_has_no_interval() -> None:
    rows = np.repeat(gaussian(30, 3), 2, axis=1)
    found = jackknife_intervals(rows, ["condition_number", "numerical_rank"])
    assert found["condition_number"].value == math.inf
    assert math.isnan(found["condition_number"].low)
    assert (found["numerical_rank"].low, found["numerical_rank"].high) == pytest.approx((3.0, 3.0), rel=1e-12)


@BOTH
@pytest.mark.parametrize("which", ["features", "against"])
def test_a_population_needs_rows(intervals, which: str) -> None:
    few, many = gaussian(31, 8), gaussian(31, 2)
    features, against = (few, many) if which == "features" else (many, few)
    message = "31 rows are too few to extrapolate the spectrum of 8 features to a population, which needs 32"
    with pytest.warns(PopulationBiasWarning, match=message):
        intervals(features, against=against, target="population", **FAST[intervals])
    intervals(gaussian(32, 8), target="population", **FAST[intervals])
    intervals(few, **FAST[intervals])


# --- bad input


@BOTH
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"target": "mean"}, ValueError, "`target` must be one of 'sample', 'population', got 'mean'"),
        ({"level": 1.0}, ValueError, r"`level` must be in \(0, 1\), got 1.0"),
        ({"level": 0}, ValueError, r"`level` must be in \(0, 1\), got 0"),
        ({"level": "95 %"}, TypeError, "`level` must be a number"),
        ({"center": "rows"}, ValueError, "`center` must be one of 'none', 'column', 'row', got 'rows'"),
        ({"preset": "official", "center": "row"}, ValueError, "`preset` sets `center` and `normalize` itself"),
        ({"metrics": "entropy"}, TypeError, "`metrics` must be a list of names or a mapping, got the string 'entropy'"),
        ({"metrics": []}, ValueError, "`metrics` must hold at least one metric, got none"),
        ({"metrics": ["sve"]}, ValueError, "`metrics` must be one of 'entropy', 'largest_ratio', .*, got 'sve'"),
        ({"groups": np.zeros(9)}, ValueError, r"an interval needs at least 2 different values in `groups`, got 1"),
        ({"groups": np.zeros(8)}, ValueError, r"`groups` must have shape \(N,\) = \(9,\), got \(8,\)"),
        ({"seed": -1}, ValueError, "`seed` must be in"),
        ({"against": np.ones((8, 3))}, ValueError, "`against` must have the"),
        ({"against": np.ones(9)}, ValueError, r"`against` must have shape \(N, D\) with N, D >= 1, got \(9,\)"),
    ],
)
def test_bad_options_are_named(intervals, options: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        intervals(gaussian(9, 3), **options)


@BOTH
def test_bad_features_are_named(intervals) -> None:
    with pytest.raises(ValueError, match=r"`features` must have shape \(N, D\) with N, D >= 1, got \(3,\)"):
        intervals(np.ones(3))
    with pytest.raises(ValueError, match="an interval needs at least 2 rows, got 1"):
        intervals(np.ones((1, 3)))
    with pytest.raises(ValueError, match="`features` must be finite: row 1 holds NaN or inf"):
        intervals(np.array([[1.0], [math.nan], [2.0]]))
    with pytest.raises(TypeError, match="`features` must be floating point, got int64"):
        intervals(np.ones((3, 3), dtype=np.int64))


def test_too_few_blocks_and_resamples() -> None:
    with pytest.raises(ValueError, match="`num_blocks` must be at least 2, got 1"):
        jackknife_intervals(gaussian(9, 3), num_blocks=1)
    with pytest.raises(ValueError, match="`num_resamples` must be at least 2, got 1"):
        bootstrap_intervals(gaussian(9, 3), num_resamples=1)


def test_accumulators_are_checked() -> None:
    full, empty = SpectrumAccumulator(3), SpectrumAccumulator(3)
    full.update(gaussian(9, 3))
    with pytest.raises(ValueError, match="`features` must hold at least 2 accumulators with rows, got 1"):
        jackknife_intervals([full, empty])
    with pytest.raises(TypeError, match="`features` must be an array or accumulators, got a sequence with list"):
        jackknife_intervals([[1.0], [2.0]])
    for options in ({"groups": np.zeros(18)}, {"normalize": True}, {"preset": "official"}, {"center": "row"}):
        with pytest.raises(ValueError, match="accumulators are their own groups and have their own row operations"):
            jackknife_intervals([full, full], **options)
    other = SpectrumAccumulator(3)
    other.update(gaussian(8, 3))
    with pytest.raises(ValueError, match=r"in blocks of \[9, 9\], got \[9, 8\]"):
        jackknife_intervals([full, full], against=[full, other])
