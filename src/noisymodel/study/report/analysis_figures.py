"""Figures of the analysis: drift of the features, correlations with accuracy, learning curves."""

from __future__ import annotations

from collections import defaultdict
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from ..analysis.correlations import MEASURES, WITHIN_RATE, WITHIN_SEED
from ..rows import FEATURES
from .analysis_tables import ADJUSTMENTS, DRIFT_METRICS, MEASURE_LABELS
from .figure_style import (
    TITLES,
    draw_means,
    forest,
    legend_below,
    method_styles,
    new_figure,
    panels,
    percent_axis,
    rate_axis,
    rate_places,
)
from .results import Results
from .wording import capitalized, rate_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ADJUSTED = {WITHIN_SEED: ("#0072B2", "o", -0.13), WITHIN_RATE: ("#D55E00", "D", 0.13)}
_SPLITS = {"id": ("#000000", "o", "-"), "ood": ("#0072B2", "^", "--")}
MOST_CURVES = 6
"""The most methods in the figure of learning curves."""


def drift_metrics(results: Results) -> list[tuple[str, str]]:
    """(Metric, label) of the measures of drift that the study has."""
    return [metric[:2] for metric in DRIFT_METRICS if results.find(FEATURES, results.rates[-1], metric=metric[0])]


def draw_drift(results: Results, narrow: bool) -> Figure:
    """Rotation and CKA of the frozen features against the clean network, by noise rate."""
    shown = drift_metrics(results)
    figure, grid = panels(len(shown), narrow=narrow, height=3.2)
    for axes, (metric, label) in zip(grid, shown, strict=True):
        for split, style in _SPLITS.items():
            rows = results.over_rates(FEATURES, metric=metric, split=split)
            draw_means(axes, rate_places(results), rows, style, TITLES[split].lower(), scale=1)
        rate_axis(axes, results)
        axes.set_ylabel(label)
        axes.set_title(capitalized(MEASURE_LABELS[metric]))
    legend_below(grid[0], columns=2)
    return figure


def draw_correlations(results: Results, narrow: bool) -> Figure:
    """Pearson's correlations of the measures with the reference method's accuracy, for both adjustments."""
    found = results.reference_correlations
    measures = [measure for measure in MEASURES if any(key[0] == measure for key in found)]
    ticks = [(place, MEASURE_LABELS[measure]) for place, measure in enumerate(measures)]
    height = 0.5 * len(measures) + 0.6
    figure, grid = forest(ticks, narrow=narrow, height=height, extra=0.8, axis="correlation with accuracy")
    for split, axes in grid.items():
        for adjusted, (color, marker, dodge) in _ADJUSTED.items():
            places = {place + dodge: found.get((measure, split, adjusted)) for place, measure in enumerate(measures)}
            points = {place: one for place, one in places.items() if one is not None}
            lows, highs = [one.low for one in points.values()], [one.high for one in points.values()]
            axes.hlines(list(points), lows, highs, color=color, linewidth=1.6)
            axes.plot(
                [one.value for one in points.values()], list(points), color=color, marker=marker, linestyle="none",
                markersize=6.5, label=ADJUSTMENTS[adjusted],
            )  # fmt: skip
        axes.set_xlim(-1.05, 1.05)
    legend_below(grid["id"], columns=1 if narrow else 2)
    return figure


def curve_methods(results: Results) -> list[str]:
    """The methods of the figure of learning curves: those of the study, without its ablations."""
    recorded = {row.method for row in results.curves}
    return [note.name for note in results.methods if note.name in recorded][:MOST_CURVES]


def draw_curves(results: Results, narrow: bool) -> Figure:
    """Training loss and accuracies by epoch, means over seeds: clean pre-training above, the most noise below."""
    rates = list(dict.fromkeys([results.rates[0], results.rates[-1]]))
    kinds = (("training_loss", "id", "training loss"), ("accuracy", "id", "in-domain (%)"),
             ("accuracy", "ood", "under shift (%)"))  # fmt: skip
    columns = 1 if narrow else len(kinds)
    figure = new_figure(4.6, 2.3 * 3 * len(rates) + 1.6) if narrow else new_figure(9.2, 2.9 * len(rates) + 1)
    grid = figure.subplots(len(rates) * len(kinds) // columns, columns, squeeze=False)
    means = curve_means(results)
    styles = method_styles(results)
    for axes, (rate, (metric, split, label)) in zip(grid.flat, product(rates, kinds), strict=True):
        for name in curve_methods(results):
            points = means.get((name, rate, metric, split), {})
            color, marker, line = styles[name]
            scale = 100 if metric == "accuracy" else 1
            axes.plot(
                list(points), [scale * value for value in points.values()], label=results.label(name), color=color,
                linestyle=line, marker=marker, markevery=max(1, len(points) // 5), markersize=4.5, linewidth=1.4,
            )  # fmt: skip
        if metric == "training_loss":
            axes.set_yscale("log")
        else:
            percent_axis(axes)
        axes.set_ylabel(label)
        axes.set_title(f"{rate_text(rate)} {results.noise}", fontsize=10)
    for axes in grid[-1]:
        axes.set_xlabel("epoch")
    legend_below(grid[0, 0], columns=columns)
    return figure


def curve_means(results: Results) -> dict[tuple[str, str, str, str], dict[int, float]]:
    """(Method, rate, metric, split) -> epoch -> mean over seeds, and for the split ``"ood"`` also over shifts."""
    gathered: dict[tuple[str, str, str, str], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in results.curves:
        key = (row.method, repr(float(row.noise_rate)), row.metric, row.split)
        gathered[key][row.epoch].append(row.value)
    return {
        key: {epoch: float(np.mean(values)) for epoch, values in sorted(by_epoch.items())}
        for key, by_epoch in gathered.items()
    }
