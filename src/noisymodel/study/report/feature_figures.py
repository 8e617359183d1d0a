"""Figures of the features: their spectra, before and after tuning, drift, and what goes with accuracy."""

from __future__ import annotations

import math
from collections import defaultdict
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...plot.drawing import LINES, new_figure
from ..analysis.correlations import MEASURES, WITHIN_RATE, WITHIN_SEED
from ..analysis.means import means
from ..rows import FEATURES
from . import figure_style as style
from .results import Results
from .tables import ADJUSTMENTS, DRIFT_METRICS, MEASURE_LABELS, SPECTRAL
from .wording import capitalized, rate_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ACCURACIES = {"id": "in-domain accuracy (%)", "ood": "accuracy under shift (%)"}
_SPLITS = {"id": ("#000000", "o", "-"), "ood": ("#0072B2", "^", "--")}
_ADJUSTED = {WITHIN_SEED: ("#0072B2", "o", -0.13), WITHIN_RATE: ("#D55E00", "D", 0.13)}


def mean_spectra(results: Results) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Split -> rate -> σ_i / σ_1 (r,), mean over seeds, and for the split ``"ood"`` also over shifts.

    A key of the record is such as ``"rate=0.05/seed=7000/id"``; another ending is the name of a shift. In a study of
    several groups the key begins with the group's data, objective, architecture and noise. Spectra without a positive
    value are left out.
    """
    gathered: dict[str, dict[str, list[NDArray[np.float64]]]] = defaultdict(lambda: defaultdict(list))
    prefix = "/".join(results.view[:4]) + "/"
    for key, values in results.record.spectra.items():
        if not key.startswith((prefix, "rate=")):
            continue
        rate, _, where = key.removeprefix(prefix).split("/", 2)
        split = "id" if where == "id" else "ood"
        if values.size and values[0] > 0:
            gathered[split][repr(float(rate.removeprefix("rate=")))].append(values / values[0])
    found: dict[str, dict[str, NDArray[np.float64]]] = {}
    for split, by_rate in sorted(gathered.items()):
        length = min(len(values) for group in by_rate.values() for values in group)
        found[split] = {
            rate: np.mean([values[:length] for values in by_rate[rate]], axis=0) for rate in sorted(by_rate, key=float)
        }
    return found


def draw_spectra(results: Results, narrow: bool) -> Figure:
    """Normalised singular values of the frozen features, a line for each noise rate."""
    spectra = mean_spectra(results)
    figure, grid = style.panels(len(spectra), narrow=narrow, height=3.6)
    for axes, (split, by_rate) in zip(grid, spectra.items(), strict=True):
        colors = style.rate_colors(list(by_rate))
        for place, (rate, values) in enumerate(by_rate.items()):
            axes.plot(
                np.arange(1, len(values) + 1), np.where(values > 0, values, math.nan), label=rate_text(rate),
                color=colors[rate], linestyle=LINES[place % len(LINES)], linewidth=1.8,
            )  # fmt: skip
        axes.set_yscale("log")
        axes.set_title(style.TITLES[split])
        axes.set_xlabel("index i")
        axes.set_ylabel("σᵢ / σ₁")
    style.legend_below(grid[0], columns=3 if narrow else 5, title=f"{results.noise} in pre-training")
    return figure


def draw_spectrum_against_accuracy(results: Results, narrow: bool) -> Figure:
    """SVE and LSVR of the frozen features against the reference method's accuracy, a point for each network."""
    figure = new_figure(4.6, 5.4) if narrow else new_figure(9.2, 7.2)
    grid = figure.subplots(2, 2, sharey="row", sharex="col")
    colors = style.rate_colors(results.rates)
    accuracies = by_seed(results, results.reference_method, "accuracy")
    label = "{} (in-domain)" if narrow else "{} of the in-domain features"
    for (split, accuracy_label), line in zip(_ACCURACIES.items(), grid, strict=True):
        accuracy = accuracies.get(split, {})
        for (metric, name), axes in zip(SPECTRAL.items(), line, strict=True):
            measured = by_seed(results, FEATURES, metric).get("id", {})
            for rate, marker in zip(results.rates, cycle(style.RATE_MARKERS), strict=False):
                seeds = [seed for at, seed in accuracy if at == rate and (at, seed) in measured]
                axes.scatter(
                    [measured[rate, seed] for seed in seeds], [100 * accuracy[rate, seed] for seed in seeds],
                    s=22 if narrow else 34, color=colors[rate], marker=marker,
                    edgecolors="white", linewidths=0.5, label=rate_text(rate),
                )  # fmt: skip
            style.percent_axis(axes)
            axes.locator_params(axis="x", nbins=3 if narrow else 6)
            axes.set(xlabel=label.format(name), ylabel=accuracy_label)
            axes.label_outer()
    style.legend_below(grid[0, 0], columns=3 if narrow else 5, title=f"{results.noise} in pre-training")
    return figure


def by_seed(results: Results, method: str, metric: str) -> dict[str, dict[tuple[str, int], float]]:
    """Split -> (rate, seed) -> value of one metric; the mean over shifts out of domain."""
    return means(
        (row.split, (repr(float(row.noise_rate)), row.seed), row.value)
        for row in results.table
        if (row.method, row.metric) == (method, metric)
    )


def reshaping_methods(results: Results) -> list[str]:
    """Methods whose spectrum after tuning was recorded."""
    return [note.name for note in results.methods if has_spectra(results, note.name)]


def has_spectra(results: Results, method: str = FEATURES) -> bool:
    """Whether a method's features, or the frozen ones, have SVE or LSVR at any rate."""
    return any(any(results.over_rates(method, metric=metric)) for metric in SPECTRAL)


def draw_tuned_spectrum(results: Results, narrow: bool) -> Figure:
    """SVE and LSVR of the in-domain features against noise rate, before tuning and after."""
    figure, grid = style.panels(2, narrow=narrow, height=3.4, extra=1.2)
    styles = style.method_styles(results)
    lines = [(FEATURES, "frozen features, before tuning", ("#000000", "o", "-"))]
    lines += [(name, f"after {results.label(name)}", styles[name]) for name in reshaping_methods(results)]
    for axes, (metric, title) in zip(grid, SPECTRAL.items(), strict=True):
        for name, label, look in lines:
            style.draw_means(
                axes, style.rate_places(results), results.over_rates(name, metric=metric), look, label, scale=1
            )
        style.rate_axis(axes, results)
        axes.set_title(title)
        axes.set_ylabel(f"{title} (nats)")
    style.legend_below(grid[0], columns=1 if narrow else 2)
    return figure


def drift_metrics(results: Results) -> list[tuple[str, str]]:
    """(Metric, label) of the measures of drift that the study has."""
    return [metric[:2] for metric in DRIFT_METRICS if results.find(FEATURES, results.rates[-1], metric=metric[0])]


def draw_drift(results: Results, narrow: bool) -> Figure:
    """Rotation and CKA of the frozen features against the clean network, by noise rate."""
    shown = drift_metrics(results)
    figure, grid = style.panels(len(shown), narrow=narrow, height=3.2)
    for axes, (metric, label) in zip(grid, shown, strict=True):
        for split, look in _SPLITS.items():
            rows = results.over_rates(FEATURES, metric=metric, split=split)
            style.draw_means(axes, style.rate_places(results), rows, look, style.TITLES[split].lower(), scale=1)
        style.rate_axis(axes, results)
        axes.set_ylabel(label)
        axes.set_title(capitalized(MEASURE_LABELS[metric]))
    style.legend_below(grid[0], columns=2)
    return figure


def draw_correlations(results: Results, narrow: bool) -> Figure:
    """Pearson's correlations of the measures with the reference method's accuracy, for both adjustments."""
    found = results.reference_correlations
    measures = [measure for measure in MEASURES if any(key[0] == measure for key in found)]
    ticks = [(place, MEASURE_LABELS[measure]) for place, measure in enumerate(measures)]
    height = 0.5 * len(measures) + 0.6
    figure, grid = style.forest(ticks, narrow=narrow, height=height, extra=0.8, axis="correlation with accuracy")
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
    style.legend_below(grid["id"], columns=1 if narrow else 2)
    return figure
