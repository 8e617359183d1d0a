"""Metrics of several models side by side, with their intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from .drawing import line_style, new_figure, quiet
from .rates import AXES, Point, point_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def metrics_of_models(points: Mapping[str, Mapping[str, Point]]) -> Figure:
    """A panel for each metric, in which each model is a point with its interval; for models that have no noise rate.

    Args:
        points: metric -> model -> point; a point is as in `metric_against_rate`. A metric that is no property of
            `Spectrum` labels its own axis. All metrics have the same models, from top to bottom in this order.

    Returns:
        A new figure with an axes for each metric.

    Raises:
        TypeError, ValueError: no metrics, no models, other models in another metric; points that are none.
        MissingExtraError: matplotlib is not installed.

    >>> import pytest
    >>> _ = pytest.importorskip("matplotlib")
    >>> figure = metrics_of_models({"entropy": {"clean": 2.0, "noisy": (2.5, 2.4, 2.6)}})
    >>> [axes.get_xlabel() for axes in figure.axes]
    ['SVE (nats)']
    """
    if not isinstance(points, Mapping) or not all(isinstance(held, Mapping) for held in points.values()):  # pyright: ignore[reportUnnecessaryIsInstance] # callers may err
        raise TypeError(f"`points` must map metrics to models to points, got {type(points).__name__}")
    models = list(next(iter(points.values()), {}))
    if not models or any(list(held) != models for held in points.values()):
        found = {name: list(held) for name, held in points.items()}
        raise ValueError(f"`points` must hold the same models for each metric, got {found}")
    figure = new_figure(max(4.3, 3.6 * len(points)), 1.3 + 0.34 * len(models))
    panels = figure.subplots(1, len(points), squeeze=False, sharey=True)[0]
    for axes, (metric, held) in zip(panels, points.items(), strict=True):
        for place, model in enumerate(models):
            value, low, high = point_of(held[model], f"for {model}")
            style = line_style(place) | {"linestyle": ""}
            axes.errorbar([value], [place], xerr=[[value - low], [high - value]], elinewidth=1.4, capsize=3.0, **style)
        axes.set_xlabel(AXES.get(metric, metric))
        axes.margins(x=0.15)
        quiet(axes)
    panels[0].set_yticks(range(len(models)), models)
    panels[0].set_ylim(len(models) - 0.5, -0.5)
    return figure
