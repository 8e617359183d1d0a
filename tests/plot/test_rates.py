"""Metrics against noise rates: points and bars where they belong, units, bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest

from noisymodel.plot import metric_against_rate, metrics_against_rate
from noisymodel.spectrum import MetricInterval

pytest.importorskip("matplotlib")


def interval(value: float, low: float, high: float, target: str = "sample") -> MetricInterval:
    return MetricInterval(value, low, high, 0.1, -0.05, 0.95, target, np.zeros(2))


def drawn(axes) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Name -> x, y and the bars' ends (n, 2)."""
    found = {}
    for container in axes.containers:
        line, _, (bars,) = container.lines
        ends = np.array([[segment[0, 1], segment[1, 1]] for segment in bars.get_segments()])
        label = container.get_label()
        found["" if label.startswith("_") else label] = (*np.array(line.get_data(), dtype=float), ends)
    return found


def test_points_of_all_kinds_with_their_bars() -> None:
    curve = {0.3: interval(2.0, 1.9, 2.2), 0.0: (3.0, 2.5, 3.1), 0.1: 2.5, 0.2: interval(1.0, 0.9, 1.2, "population")}
    axes = metric_against_rate(curve, label="SVE (nats)")
    x, y, bars = drawn(axes)[""]
    np.testing.assert_allclose(x, [0, 10, 20, 30])
    np.testing.assert_allclose(y, [3.0, 2.5, 1.05, 2.0])
    np.testing.assert_allclose(bars, [[2.5, 3.1], [2.5, 2.5], [0.9, 1.2], [1.9, 2.2]])
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0", "10", "20", "30"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("noise rate in pre-training (%)", "SVE (nats)")
    assert axes.get_legend() is None


def test_lines_stand_side_by_side_around_their_rate() -> None:
    axes = metric_against_rate({"a": {0.0: 1.0, 0.2: 2.0}, "b": {0.2: 3.0}, "c": {0.1: 3.0}}, label="x")
    found = drawn(axes)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b", "c"]
    assert found["b"][0] == pytest.approx([20.0])
    assert 0 < 0.0 - found["a"][0][0] < 0.5
    assert found["c"][0][0] - 10 == pytest.approx(-found["a"][0][0])
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0", "10", "20"]


def test_one_rate_alone_and_given_axes() -> None:
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    assert metric_against_rate({0.05: 1.0}, label="x", ax=axes) is axes
    assert drawn(axes)[""][0] == pytest.approx([5.0])


def test_bounds_that_are_not_there_leave_the_point() -> None:
    axes = metric_against_rate({0.1: (1.0, math.nan, math.nan)}, label="x")
    np.testing.assert_array_equal(drawn(axes)[""][2], [[1.0, 1.0]])


def test_a_panel_for_each_metric_with_its_unit() -> None:
    held = {rate: {"entropy": 1.0 + rate, "largest_ratio": 2.0, "mine": 3.0} for rate in (0.0, 0.1)}
    figure = metrics_against_rate(held)
    assert [axes.get_ylabel() for axes in figure.axes] == ["SVE (nats)", "LSVR (nats)"]
    np.testing.assert_allclose(drawn(figure.axes[0])[""][1], [1.0, 1.1])
    figure = metrics_against_rate({"frozen": held, "tuned": held}, ["mine", "entropy", "largest_ratio"])
    assert [axes.get_ylabel() for axes in figure.axes] == ["mine", "SVE (nats)", "LSVR (nats)"]
    assert list(drawn(figure.axes[2])) == ["frozen", "tuned"]


def test_every_metric_of_the_intervals_has_a_unit() -> None:
    from noisymodel.plot.rates import AXES
    from noisymodel.spectrum.measuring import SCALARS

    assert set(AXES) == set(SCALARS)


@pytest.mark.parametrize(
    ("curves", "error", "message"),
    [
        ([1.0], TypeError, "`curves` must map rates, or names and rates, to points, got list"),
        ({}, ValueError, "`curves` must hold at least one rate in each line, got {} for ''"),
        ({"a": {}}, ValueError, "`curves` must hold at least one rate in each line, got {} for 'a'"),
        ({"a": 1.0}, ValueError, "`curves` must hold at least one rate in each line, got 1.0 for 'a'"),
        ({10: 1.0}, ValueError, r"`rate` must be in \[0, 1\], got 10"),
        ({-0.1: 1.0}, ValueError, r"`rate` must be in \[0, 1\], got -0.1"),
        ({0.1: "high"}, TypeError, "a point must be a MetricInterval, a number or a triple, got 'high'"),
        ({0.1: (1.0, 2.0)}, ValueError, r"a point must be \(value, low, high\), got \(1.0, 2.0\) at rate"),
        ({0.1: (1.0, 2.0, 3.0)}, ValueError, r"a point must lie in its interval, got 1 in \[2, 3\]"),
    ],
)
def test_bad_curves_are_named(curves, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        metric_against_rate(curves, label="x")


def test_bad_metrics_are_named() -> None:
    with pytest.raises(ValueError, match="`curves` must hold the metric 'largest_ratio' at every rate, got"):
        metrics_against_rate({0.1: {"entropy": 1.0}})
    with pytest.raises(ValueError, match="`metrics` must be a list of at least one name, got"):
        metrics_against_rate({0.1: {"entropy": 1.0}}, [])
    with pytest.raises(TypeError, match="`metrics` must be a sequence of names, got 'entropy'"):
        metrics_against_rate({0.1: {"entropy": 1.0}}, "entropy")
