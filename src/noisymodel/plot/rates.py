"""Metrics of spectra against the noise rate of pre-training, with their intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np

from .._checks import check_number, check_sequence, check_text
from ..spectrum import MetricInterval
from .drawing import axes_or_new, legend, line_style, new_figure, quiet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Point: TypeAlias = MetricInterval | float | tuple[float, float, float]
Held = TypeVar("Held")

AXES = {
    "entropy": "SVE (nats)",
    "largest_ratio": "LSVR (nats)",
    "effective_rank": "effective rank (directions)",
    "stable_rank": "stable rank (directions)",
    "participation_ratio": "participation ratio (directions)",
    "numerical_rank": "numerical rank (directions)",
    "rankme": "RankMe (directions)",
    "power_law_exponent": "exponent α of λᵢ ∝ i^−α",
    "condition_number": "condition number σ₁ / σ_min",
}


def metric_against_rate(
    curves: Mapping[float, Point] | Mapping[str, Mapping[float, Point]], *, label: str, ax: Axes | None = None
) -> Axes:
    """One metric against the noise rate, a line for each model or method, with intervals as bars.

    Args:
        curves: rate -> point, or name -> rate -> point. A point is a `MetricInterval` (drawn at its ``estimate``), a
            triple (value, low, high), for intervals over seeds for instance, or a number, which has no bar.
        label: of the y axis, with the unit.
        ax: where to draw; None: on a new figure.

    Raises:
        TypeError, ValueError: no points, other points, rates that are no numbers in [0, 1].
        MissingExtraError: matplotlib is not installed.

    >>> import pytest
    >>> _ = pytest.importorskip("matplotlib")
    >>> axes = metric_against_rate({0.0: (2.0, 1.9, 2.2), 0.1: (1.8, 1.7, 1.9)}, label="SVE (nats)")
    >>> axes.get_xlabel(), axes.get_ylabel()
    ('noise rate in pre-training (%)', 'SVE (nats)')
    """
    lines = _lines(curves)
    check_text(label, "label")
    axes = axes_or_new(ax)
    rates = sorted({rate for points in lines.values() for rate in points})
    dodge = 0.6 * (rates[-1] - rates[0] or 1.0)  # percents of 100·(the rates' range), so that bars do not cover others
    for place, (name, points) in enumerate(lines.items()):
        ordered = sorted(points)
        shift = dodge * (place - (len(lines) - 1) / 2)
        parts = [point_of(points[rate], f"at rate {rate:g}") for rate in ordered]
        axes.errorbar(
            [100 * rate + shift for rate in ordered], [value for value, _, _ in parts],
            yerr=[[value - low for value, low, _ in parts], [high - value for value, _, high in parts]],
            label=name, elinewidth=1.0, capsize=2.5, **line_style(place),
        )  # fmt: skip
    axes.set_xticks([100 * rate for rate in rates], [f"{100 * rate:.4g}" for rate in rates])
    axes.set(xlabel="noise rate in pre-training (%)", ylabel=label)
    quiet(axes)
    legend(axes)
    return axes


def metrics_against_rate(
    curves: Mapping[float, Mapping[str, Point]] | Mapping[str, Mapping[float, Mapping[str, Point]]],
    metrics: Sequence[str] = ("entropy", "largest_ratio"),
) -> Figure:
    """SVE and LSVR (or other metrics) against the noise rate, a panel for each.

    Args:
        curves: rate -> what `jackknife_intervals` or `bootstrap_intervals` gave for it; or name -> rate -> that.
        metrics: the keys to draw, in this order; a key that is no property of `Spectrum` labels its own axis.

    Returns:
        A new figure with an axes for each metric.

    Raises:
        TypeError, ValueError: as `metric_against_rate`; a metric that is not in all points.
        MissingExtraError: matplotlib is not installed.

    >>> import numpy as np, pytest
    >>> _ = pytest.importorskip("matplotlib")
    >>> from noisymodel.spectrum import jackknife_intervals
    >>> random = np.random.default_rng(0)
    >>> found = {rate: jackknife_intervals(random.normal(size=(100, 8))) for rate in (0.0, 0.1)}
    >>> [axes.get_ylabel() for axes in metrics_against_rate(found).axes]
    ['SVE (nats)', 'LSVR (nats)']
    """
    lines = _lines(curves)
    check_sequence(metrics, "metrics", "names")
    if len(metrics) == 0 or not all(isinstance(name, str) for name in metrics):  # pyright: ignore[reportUnnecessaryIsInstance] # callers may err
        raise ValueError(f"`metrics` must be a list of at least one name, got {metrics!r}")
    figure = new_figure(4.3 * len(metrics), 3.6)
    panels = figure.subplots(1, len(metrics), squeeze=False)[0]
    for axes, metric in zip(panels, metrics, strict=True):
        chosen = {
            name: {rate: _of(found, metric, rate) for rate, found in held.items()} for name, held in lines.items()
        }
        metric_against_rate(chosen, label=AXES.get(metric, metric), ax=axes)
    return figure


def _lines(curves: Any) -> dict[str, dict[float, Any]]:
    """Name -> rate -> what is held there; one line has the name ""."""
    if not isinstance(curves, Mapping):
        raise TypeError(f"`curves` must map rates, or names and rates, to points, got {type(curves).__name__}")
    named = bool(curves) and all(isinstance(key, str) for key in curves)
    lines: dict[str, Any] = {str(name): held for name, held in curves.items()} if named else {"": curves}
    for name, held in lines.items():
        if not isinstance(held, Mapping) or not held:
            raise ValueError(f"`curves` must hold at least one rate in each line, got {held!r} for {name!r}")
    return {
        name: {check_number(rate, "rate", minimum=0.0, maximum=1.0): held[rate] for rate in held}
        for name, held in lines.items()
    }


def _of(found: Any, metric: str, rate: float) -> Any:
    if not isinstance(found, Mapping) or metric not in found:
        raise ValueError(f"`curves` must hold the metric {metric!r} at every rate, got {found!r} at {rate:g}")
    return found[metric]


def point_of(point: Any, where: str) -> tuple[float, float, float]:
    """Value, low and high; without an interval the bounds are the value."""
    if isinstance(point, MetricInterval):
        value, low, high = point.estimate, point.low, point.high
    elif isinstance(point, tuple):
        if len(point) != 3:
            raise ValueError(f"a point must be (value, low, high), got {point!r} {where}")
        value, low, high = (_number(part) for part in point)
    else:
        value = low = high = _number(point)
    bounded = math.isfinite(low) and math.isfinite(high)
    if bounded and not low <= value <= high:
        raise ValueError(f"a point must lie in its interval, got {value:g} in [{low:g}, {high:g}]")
    return (value, low, high) if bounded else (value, value, value)


def _number(value: Any) -> float:
    """A number, NaN and infinity among them (which draw nothing)."""
    if isinstance(value, Real) and not isinstance(value, bool | np.bool_):
        return float(value)
    raise TypeError(f"a point must be a MetricInterval, a number or a triple, got {value!r}")
