"""The metrics of a Spectrum: golden values, the naive reference, laws, the odd cases, the dictionary, the plot."""

from __future__ import annotations

import builtins
import io
import json
import math
import sys
from dataclasses import FrozenInstanceError
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from golden import GOLDEN, golden_matrix
from noisymodel.errors import MissingExtraError
from noisymodel.spectrum import Spectrum, analyze
from reference import spectrum as naive

KINDS = {"raw": {}, "column_centered": {"center": "column"}, "official": {"preset": "official"}}
CASES = [
    (name, kind)
    for name, entry in GOLDEN["spectra"].items()
    for kind in KINDS
    if kind in entry and not entry[kind].get("all_zero")
]
METRICS = {
    "sve": "entropy",
    "lsvr": "largest_ratio",
    "effective_rank": "effective_rank",
    "stable_rank": "stable_rank",
    "participation_ratio": "participation_ratio",
    "numerical_rank": "numerical_rank",
    "nesum": "stable_rank",
}
values = st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=20).map(lambda v: np.sort(v)[::-1])


def spectrum_of(singular_values, num_samples: int = 100, num_features: int = 100, **options) -> Spectrum:
    values = np.asarray(singular_values, dtype=np.float64)
    least = max(1, len(values))
    return Spectrum(values, max(num_samples, least), max(num_features, least), **options)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_golden(name: str, kind: str) -> None:
    golden = GOLDEN["spectra"][name][kind]
    spectrum = analyze(golden_matrix(name), **KINDS[kind])
    assert len(spectrum.singular_values) == golden["n_sv"]
    assert spectrum.singular_values[0] == pytest.approx(golden["sigma_1"], rel=1e-12)
    for key, metric in METRICS.items():
        if key in golden:
            assert getattr(spectrum, metric) == pytest.approx(golden[key], rel=1e-9, abs=1e-12), key
    for epsilon in ("0", "1e-12", "1e-07", "1e-05"):
        if kind != "official":
            expected = pytest.approx(golden[f"rankme_eps{epsilon}"], rel=1e-9)
            assert spectrum.rankme(float(epsilon)) == expected, epsilon
    if kind != "official":
        expected = math.inf if golden["condition_number"] is None else golden["condition_number"]
        assert spectrum.condition_number == pytest.approx(expected, rel=1e-9)
    if "alpha_stringer_11_100" in golden:
        assert spectrum.power_law_exponent() == pytest.approx(golden["alpha_stringer_11_100"], rel=1e-9)


@settings(deadline=None, max_examples=25)
@given(values, st.sampled_from([0.0, 1e-12, 1e-7, 1e-2]))
def test_equals_the_naive_reference(singular_values: np.ndarray, epsilon: float) -> None:
    spectrum, plain = spectrum_of(singular_values), singular_values.tolist()
    assert spectrum.entropy == pytest.approx(naive.entropy(plain), rel=1e-9, abs=1e-12)
    assert spectrum.largest_ratio == pytest.approx(naive.largest_ratio(plain), rel=1e-9, abs=1e-12)
    assert spectrum.effective_rank == pytest.approx(math.exp(naive.entropy(plain)), rel=1e-9)
    assert spectrum.stable_rank == pytest.approx(naive.stable_rank(plain), rel=1e-9)
    assert spectrum.participation_ratio == pytest.approx(naive.participation_ratio(plain), rel=1e-9)
    assert spectrum.rankme(epsilon) == pytest.approx(naive.rankme(plain, epsilon), rel=1e-9)
    assert spectrum.condition_number == pytest.approx(max(plain) / min(plain), rel=1e-12)


@settings(deadline=None, max_examples=50)
@given(values)
def test_the_metrics_are_ordered(singular_values: np.ndarray) -> None:
    spectrum = spectrum_of(singular_values)
    eigenvalue_rank = math.exp(naive.entropy((singular_values**2).tolist()))
    chain = [
        1.0,
        spectrum.stable_rank,
        spectrum.participation_ratio,
        eigenvalue_rank,
        spectrum.effective_rank,
        spectrum.numerical_rank,
    ]
    assert all(lower <= upper * (1 + 1e-12) for lower, upper in pairwise(chain)), chain
    assert math.exp(spectrum.largest_ratio) <= spectrum.effective_rank * (1 + 1e-12)


@settings(deadline=None, max_examples=25)
@given(values, st.sampled_from([1e-200, 1e-3, 1e200]))
def test_scale_changes_the_edge_alone(singular_values: np.ndarray, scale: float) -> None:
    before, after = spectrum_of(singular_values), spectrum_of(scale * singular_values)
    for name, value in before.to_dict().items():
        if name != "singular_values":
            assert after.to_dict()[name] == pytest.approx(value, rel=1e-9), name
    assert after.explained(1) == pytest.approx(before.explained(1), rel=1e-9)
    assert after.marchenko_pastur_edge() == pytest.approx(scale * before.marchenko_pastur_edge(), rel=1e-9)


def test_rankme_may_leave_the_range_of_ranks() -> None:
    assert spectrum_of(np.ones(32)).rankme() > 32
    assert spectrum_of([2.0]).rankme() < 1
    assert spectrum_of([2.0, 1.0, 0.0]).rankme() > spectrum_of([2.0, 1.0]).rankme()


@pytest.mark.parametrize("epsilon", [-1e-9, math.nan])
def test_rankme_epsilon_is_checked(epsilon: float) -> None:
    with pytest.raises(ValueError, match=r"`epsilon` must be in \[0, inf\), got"):
        spectrum_of([1.0]).rankme(epsilon)


# --- tolerance


@pytest.mark.parametrize(("num_samples", "num_features"), [(1000, 3), (3, 1000)])
@pytest.mark.parametrize("epsilon", [np.finfo(np.float32).eps, np.finfo(np.float64).eps])
def test_rank_and_condition_share_one_tolerance(num_samples: int, num_features: int, epsilon: float) -> None:
    tolerance = 2.0 * 1000 * float(epsilon)
    options = {"num_samples": num_samples, "num_features": num_features, "epsilon": float(epsilon)}
    above = spectrum_of([2.0, 1.0, 1.01 * tolerance], **options)
    below = spectrum_of([2.0, 1.0, 0.99 * tolerance], **options)
    assert (above.numerical_rank, below.numerical_rank) == (3, 2)
    assert above.condition_number == pytest.approx(2.0 / (1.01 * tolerance))
    assert below.condition_number == math.inf
    assert below.entropy < above.entropy  # the other metrics count every value


# --- power law


@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.3])
def test_an_exact_power_law_is_recovered_in_any_window(exponent: float) -> None:
    spectrum = spectrum_of(np.arange(1, 201) ** (-exponent / 2), num_samples=500, num_features=200)
    for window in [(11, 100), (1, 2), (1, 200), (50, 1000)]:
        assert spectrum.power_law_exponent(window) == pytest.approx(exponent, rel=1e-9)


@pytest.mark.parametrize("window", [(11, 100), (1, 10), (5, 64), (3, 4)])
def test_power_law_equals_the_naive_reference(window: tuple[int, int]) -> None:
    singular_values = np.sort(np.random.default_rng(5).uniform(0.1, 5, 64))[::-1]
    expected = naive.power_law_exponent(singular_values.tolist(), window[0], min(window[1], 64))
    assert spectrum_of(singular_values).power_law_exponent(window) == pytest.approx(expected, rel=1e-9)


def test_golden_unweighted_power_law_of_all_ranks() -> None:
    spectrum = analyze(golden_matrix("gauss_1000x64"), center="column")
    found = spectrum.power_law_exponent((1, 64), weighted=False)
    assert found == pytest.approx(0.2673390739320878, rel=1e-9)  # least squares by independent float64 code


@pytest.mark.parametrize("window", [(1, 64), (11, 64), (3, 40)])
def test_an_unweighted_power_law_counts_every_rank_the_same(window: tuple[int, int]) -> None:
    singular_values = np.sort(np.random.default_rng(5).uniform(0.1, 5, 64))[::-1]
    first, last = window
    slope = np.polyfit(np.log(np.arange(first, last + 1)), np.log(singular_values[first - 1 : last] ** 2), 1)[0]
    assert spectrum_of(singular_values).power_law_exponent(window, weighted=False) == pytest.approx(-slope, rel=1e-9)
    assert spectrum_of(singular_values).power_law_exponent(window) != pytest.approx(-slope, rel=1e-3)


def test_the_value_that_centring_makes_zero_is_left_out() -> None:
    rounding = [*np.arange(1, 20) ** -0.5, 1e-17]  # 20 samples, centred: the last value is nothing but rounding
    centered = spectrum_of(rounding, num_samples=20, num_features=50, centered=True)
    assert centered.power_law_exponent((1, 100)) == pytest.approx(1.0, rel=1e-9)


def test_an_empty_window_says_what_there_is() -> None:
    with pytest.raises(ValueError, match=r"`window` must hold two of the 4 non-zero values, got \(4, 100\).*lower"):
        spectrum_of([4.0, 3.0, 2.0, 1.0, 0.0]).power_law_exponent((4, 100))
    with pytest.raises(ValueError, match=r"`window\[0\]` must be at least 1, got 0"):
        spectrum_of(np.ones(9)).power_law_exponent((0, 5))
    with pytest.raises(ValueError, match=r"`window\[1\]` must be at least 6, got 5"):
        spectrum_of(np.ones(9)).power_law_exponent((5, 5))


# --- Marchenko-Pastur


def test_the_edge_for_known_noise() -> None:
    assert spectrum_of([1.0], 400, 100).marchenko_pastur_edge(4.0) == pytest.approx(2 * (20 + 10), rel=1e-12)
    assert spectrum_of([1.0], 401, 100, centered=True).marchenko_pastur_edge(4.0) == pytest.approx(60, rel=1e-12)
    assert spectrum_of([1.0], 400, 100).marchenko_pastur_edge(0.0) == 0.0


@pytest.mark.parametrize(("num_samples", "num_features"), [(2000, 100), (100, 2000), (300, 300)])
@pytest.mark.parametrize("center", ["none", "column"])
def test_noise_stays_within_the_estimated_edge_and_signal_does_not(num_samples, num_features, center) -> None:
    generator = np.random.default_rng(0)
    noise = 3.0 * generator.standard_normal((num_samples, num_features))
    direction = np.outer(generator.standard_normal(num_samples), generator.standard_normal(num_features))
    spectrum = analyze(noise + direction, center=center)
    edge = spectrum.marchenko_pastur_edge()
    assert edge == pytest.approx(spectrum.marchenko_pastur_edge(9.0), rel=0.02)
    assert spectrum.singular_values[0] > 1.2 * edge
    assert spectrum.singular_values[1] < 1.02 * edge


@pytest.mark.parametrize(("num_samples", "num_features"), [(40, 10), (10, 40), (25, 25), (1000, 10)])
def test_the_median_is_that_of_the_law(num_samples: int, num_features: int) -> None:
    smaller, larger = sorted((num_samples, num_features))
    deviation = 1 / math.sqrt(larger * naive.marchenko_pastur_median(smaller / larger))
    spectrum = spectrum_of([9.0, *[1.0] * (smaller - 1)], num_samples, num_features)
    expected = deviation * (math.sqrt(num_samples) + math.sqrt(num_features))
    assert spectrum.marchenko_pastur_edge() == pytest.approx(expected, rel=1e-5)


def test_noise_variance_is_checked() -> None:
    with pytest.raises(ValueError, match=r"`noise_variance` must be in \[0, inf\), got -1"):
        spectrum_of([1.0]).marchenko_pastur_edge(-1)


# --- explained share


def test_explained_shares_add_up() -> None:
    spectrum = spectrum_of([4.0, 3.0, 2.0, 1.0])
    assert [spectrum.explained(k) for k in (1, 2, 3, 4)] == pytest.approx([16 / 30, 25 / 30, 29 / 30, 1.0])


@pytest.mark.parametrize(("k", "message"), [(0, "at least 1, got 0"), (5, r"at most min\(N, D\) = 4, got 5")])
def test_explained_needs_a_number_of_values(k: int, message: str) -> None:
    with pytest.raises(ValueError, match=f"`k` must be {message}"):
        spectrum_of([4.0, 3.0, 2.0, 1.0]).explained(k)


# --- zero, frozen, kinds


def test_a_zero_spectrum_has_no_metrics() -> None:
    spectrum = spectrum_of([0.0, 0.0])
    for name in ("entropy", "largest_ratio", "effective_rank", "stable_rank", "participation_ratio"):
        assert math.isnan(getattr(spectrum, name)), name
    assert math.isnan(spectrum.rankme())
    assert math.isnan(spectrum.explained(1))
    assert spectrum.numerical_rank == 0
    assert spectrum.condition_number == math.inf
    with pytest.raises(ValueError, match="two of the 0 non-zero values"):
        spectrum.power_law_exponent()


def test_metrics_are_python_numbers_whatever_the_values_are() -> None:
    for singular_values in (np.array([2.0, 1.0]), torch.tensor([2.0, 1.0], dtype=torch.float64)):
        spectrum = Spectrum(singular_values, 5, 2)
        assert {type(spectrum.entropy), type(spectrum.stable_rank), type(spectrum.condition_number)} == {float}
        assert {type(spectrum.rankme()), type(spectrum.explained(1)), type(spectrum.participation_ratio)} == {float}
        assert type(spectrum.numerical_rank) is int
        assert not spectrum.centered


def test_the_result_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError, match="cannot assign to field 'num_samples'"):
        spectrum_of([1.0]).num_samples = 3


# --- dictionary and plot


def test_to_dict_is_strict_json_and_holds_every_metric() -> None:
    spectrum = analyze(golden_matrix("diag_4321"), center="column")
    content = json.loads(json.dumps(spectrum.to_dict(), allow_nan=False))
    assert content == spectrum.to_dict()
    assert (content["num_samples"], content["num_features"], content["centered"]) == (4, 4, True)
    assert content["singular_values"] == spectrum.singular_values.tolist()
    assert content["condition_number"] is None  # infinite
    assert content["rankme"] == spectrum.rankme()
    for name in (
        "entropy",
        "largest_ratio",
        "effective_rank",
        "stable_rank",
        "participation_ratio",
        "numerical_rank",
    ):
        assert content[name] == getattr(spectrum, name)


def test_to_dict_of_a_zero_spectrum_is_strict_json() -> None:
    content = json.loads(json.dumps(spectrum_of([0.0, 0.0]).to_dict(), allow_nan=False))
    assert content["entropy"] is None
    assert content["numerical_rank"] == 0


def test_plot_draws_relative_values_on_the_given_axes() -> None:
    figure = pytest.importorskip("matplotlib.figure").Figure()
    axes = figure.subplots()
    assert spectrum_of([4.0, 2.0, 0.0]).plot(axes) is axes
    (line,) = axes.get_lines()
    np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3])
    np.testing.assert_array_equal(line.get_ydata(), [1.0, 0.5, np.nan])
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("index $i$", r"$\sigma_i / \sigma_1$")
    figure.canvas.draw()


def test_plot_makes_a_figure_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)  # importing it is an error
    axes = spectrum_of([4.0, 2.0]).plot()
    assert len(axes.get_lines()) == 1
    axes.figure.savefig(io.BytesIO())


def test_plot_without_matplotlib_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def without_matplotlib(name: str, *arguments, **options):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return original(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without_matplotlib)
    with pytest.raises(MissingExtraError, match=r"`matplotlib` is needed for plotting a spectrum.*noisymodel\[plot\]"):
        spectrum_of([1.0]).plot()


def test_power_law_is_not_fitted_to_what_is_zero_to_rounding() -> None:
    """Rows without their own mean have one direction less, whose value comes out as about 1e-17."""
    rows = np.random.default_rng(0).normal(size=(500, 30)) / np.arange(1, 31)
    values = analyze(rows, center="row").singular_values
    assert 0 < values[-1] < 1e-14 * values[0]
    alone = Spectrum(values[:-1], 500, 30)
    assert analyze(rows, center="row").power_law_exponent() == alone.power_law_exponent()
