"""Figures of the analysis: drift of the features, correlations with accuracy, the ablation, learning curves."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from ..analysis.correlations import MEASURES, WITHIN_RATE, WITHIN_SEED
from ..rows import FEATURES
from .accuracy_figures import draw_paired
from .analysis_tables import ADJUSTMENTS, DRIFT_METRICS, MEASURE_LABELS
from .figure_style import (
    INK,
    TITLES,
    VARIANT_COLORS,
    draw_means,
    legend_below,
    method_styles,
    new_figure,
    panels,
    percent_axis,
    rate_axis,
)
from .results import Results
from .tables import grouped
from .wording import rate_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ADJUSTED = {WITHIN_SEED: ("#0072B2", "o"), WITHIN_RATE: ("#D55E00", "D")}
_SPLITS = {"id": ("#000000", "o", "-"), "ood": ("#0072B2", "^", "--")}
MOST_CURVES = 6
"""The most methods in the figure of learning curves."""


def draw_drift(results: Results, narrow: bool) -> Figure:
    """Rotation and CKA of the frozen features against the clean network, by noise rate."""
    shown = [metric for metric in DRIFT_METRICS if results.find(FEATURES, results.rates[-1], metric=metric[0])]
    figure, grid = panels(len(shown), narrow=narrow, height=3.2)
    for axes, (metric, label, _, _) in zip(grid, shown, strict=True):
        for split, style in _SPLITS.items():
            rows = [results.find(FEATURES, rate, metric=metric, split=split) for rate in results.rates]
            draw_means(axes, rows, style, TITLES[split].lower(), scale=1)
        rate_axis(axes, results)
        axes.set_ylabel(label)
        axes.set_title(MEASURE_LABELS[metric].capitalize() if metric == "subspace_rotation" else MEASURE_LABELS[metric])
    legend_below(figure, grid[0], narrow=narrow, columns=2)
    return figure


def draw_correlations(results: Results, narrow: bool) -> Figure:
    """Pearson's correlations of the measures with the reference method's accuracy, for both adjustments."""
    chosen = {
        (found.measure, found.split, found.adjusted): found
        for found in results.correlations
        if found.method == results.reference_method and found.measure_split == "id" and found.kind == "pearson"
    }
    measures = [measure for measure in MEASURES if any(key[0] == measure for key in chosen)]
    figure, grid = panels(2, narrow=narrow, height=0.5 * len(measures) + 0.6, extra=0.8)
    for panel, (axes, split) in enumerate(zip(grid, TITLES, strict=True)):
        axes.axvline(0, color=INK, linewidth=1)
        for shift, (adjusted, (color, marker)) in zip((-0.13, 0.13), _ADJUSTED.items(), strict=True):
            points = [
                (place + shift, found)
                for place, measure in enumerate(measures)
                if (found := chosen.get((measure, split, adjusted))) is not None and not math.isnan(found.value)
            ]
            for height, found in points:
                if not math.isnan(found.low):
                    axes.plot([found.low, found.high], [height, height], color=color, linewidth=1.6)
            axes.plot(
                [found.value for _, found in points], [height for height, _ in points],
                color=color, marker=marker, linestyle="none", markersize=6.5, label=ADJUSTMENTS[adjusted],
            )  # fmt: skip
        axes.set_xlim(-1.05, 1.05)
        axes.set_ylim(len(measures) - 0.5, -0.5)
        labels = [MEASURE_LABELS[measure] for measure in measures]
        axes.set_yticks(range(len(measures)), labels if narrow or panel == 0 else [""] * len(labels))
        axes.tick_params(axis="y", length=0)
        axes.set_title(TITLES[split])
        axes.set_xlabel("correlation with accuracy")
    legend_below(figure, grid[0], narrow=False, columns=1 if narrow else 2)
    return figure


def draw_ablation(results: Results, narrow: bool) -> Figure:
    """Each ablation against its full method: the paired difference with its interval."""
    groups = grouped([(note.base, note.name) for note in results.ablations])
    return draw_paired(
        results,
        {
            f"against {results.label(base)}": [(results.label(name), name, base) for name in names]
            for base, names in groups.items()
        },
        lambda _: (VARIANT_COLORS[1], "o"),
        narrow,
    )


def curve_methods(results: Results) -> list[str]:
    """The methods of the figure of learning curves: those of the study, without its ablations."""
    recorded = {row.method for row in results.curves}
    named = [note.name for note in results.methods if note.name in recorded]
    return named[:MOST_CURVES]


def draw_curves(results: Results, narrow: bool) -> Figure:
    """Training loss and accuracies by epoch, means over seeds: clean pre-training above, the most noise below."""
    rates = list(dict.fromkeys([results.rates[0], results.rates[-1]]))
    figure = new_figure(4.6, 2.3 * 3 * len(rates) + 1.6) if narrow else new_figure(9.2, 2.9 * len(rates) + 1)
    grid = figure.subplots(3 * len(rates), 1) if narrow else figure.subplots(len(rates), 3, squeeze=False)
    means = curve_means(results)
    styles = method_styles(results)
    flat: list[Axes] = list(np.asarray(grid).flat)
    kinds = (("training_loss", "id", "training loss"), ("accuracy", "id", "in-domain (%)"),
             ("accuracy", "ood", "under shift (%)"))  # fmt: skip
    for place, axes in enumerate(flat):
        rate, (metric, split, label) = rates[place // 3], kinds[place % 3]
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
        if place >= len(flat) - (1 if narrow else 3):
            axes.set_xlabel("epoch")
    legend_below(figure, flat[0], narrow=False, columns=1 if narrow else 3)
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
