"""Figures of accuracy: against noise rate and number of labels, between methods and groups, and under each shift."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...plot.drawing import INK, new_figure
from ..analysis.means import means
from ..analysis.summary import MEAN_SHIFT, NOISY, SummaryRow
from . import figure_style as style
from .groups import shots_text
from .results import Comparisons, Results
from .wording import outcome, rate_text, signed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_CURVES = 6
"""The most methods in the figure of learning curves."""


# ---- lines -----------------------------------------------------------------------------------------------------------


def draw_accuracy(results: Results, narrow: bool) -> Figure:
    """Accuracy against noise rate, in-domain and under shift, a line for each method."""
    figure, grid = style.panels(2, narrow=narrow, height=3.9, extra=1.5 if narrow else 1.1)
    places = np.array(style.rate_places(results))
    dodge = 0.006 * (places.max(initial=0) or 1)
    middle = (len(results.methods) - 1) / 2
    for axes, split in zip(grid, style.TITLES, strict=True):
        for number, (name, look) in enumerate(style.method_styles(results).items()):
            rows = results.over_rates(name, split=split)
            style.draw_means(axes, places + (number - middle) * dodge, rows, look, results.label(name))
        style.rate_axis(axes, results)
        _accuracy_axis(axes, split)
    style.legend_below(grid[0], columns=1 if narrow else 4)
    return figure


def draw_shots(family: Sequence[Results], narrow: bool) -> Figure:
    """Accuracy of each method against the number of labels per class, mean over the noisy rates."""
    figure, grid = style.panels(2, narrow=narrow, height=3.4, extra=1.1)
    results = family[-1]
    places = range(len(family))
    for axes, split in zip(grid, style.TITLES, strict=True):
        for name, look in style.method_styles(results).items():
            rows = [group.find(name, NOISY, split=split) for group in family]
            style.draw_means(axes, places, rows, look, results.label(name))
        axes.set_xticks(places, [shots_text(group.view.shots) for group in family])
        axes.set_xlabel("labels per class")
        _accuracy_axis(axes, split)
    style.legend_below(grid[0], columns=1 if narrow else 4)
    return figure


def _accuracy_axis(axes: Axes, split: str) -> None:
    axes.set_title(style.TITLES[split])
    axes.set_ylabel("accuracy (%)" if split == "id" else "accuracy, mean of shifts (%)")
    style.percent_axis(axes)


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
    courses = curve_means(results)
    styles = style.method_styles(results)
    for axes, (rate, (metric, split, label)) in zip(grid.flat, product(rates, kinds), strict=True):
        for name in curve_methods(results):
            points = courses.get((name, rate, metric, split), {})
            color, marker, line = styles[name]
            scale = 100 if metric == "accuracy" else 1
            axes.plot(
                list(points), [scale * value for value in points.values()], label=results.label(name), color=color,
                linestyle=line, marker=marker, markevery=max(1, len(points) // 5), markersize=4.5, linewidth=1.4,
            )  # fmt: skip
        if metric == "training_loss":
            axes.set_yscale("log")
        else:
            style.percent_axis(axes)
        axes.set_ylabel(label)
        axes.set_title(f"{rate_text(rate)} {results.noise}", fontsize=10)
    for axes in grid[-1]:
        axes.set_xlabel("epoch")
    style.legend_below(grid[0, 0], columns=columns)
    return figure


def curve_means(results: Results) -> dict[tuple[str, str, str, str], dict[int, float]]:
    """(Method, rate, metric, split) -> epoch -> mean over seeds, and for the split ``"ood"`` also over shifts."""
    return means(
        ((row.method, repr(float(row.noise_rate)), row.metric, row.split), row.epoch, row.value)
        for row in sorted(results.curves, key=lambda row: row.epoch)
    )


# ---- forest plots ----------------------------------------------------------------------------------------------------


def draw_differences(results: Results, narrow: bool) -> Figure:
    """The paired difference of each method and each of its baselines, with its interval."""
    styles = style.method_styles(results)
    return _draw_paired(results, results.against_baselines(), lambda method: styles[method][:2], narrow)


def draw_ablation(results: Results, narrow: bool) -> Figure:
    """Each ablation against its full method: the paired difference with its interval."""
    return _draw_paired(results, results.against_full_methods, lambda _: (style.VARIANT_COLORS[1], "o"), narrow)


def _draw_paired(
    results: Results, groups: Comparisons, look_of: Callable[[str], tuple[str, str]], narrow: bool
) -> Figure:
    """A forest plot of paired differences over the noisy rates; ``look_of`` is a method's colour and marker."""
    ticks: list[tuple[float, str]] = []
    lines: list[tuple[float, str, str]] = []
    height = 0.0
    for heading, members in groups:
        ticks.append((height, heading))
        for label, method, baseline in members:
            height += 1
            ticks.append((height, label))
            lines.append((height, method, baseline))
        height += 1.4
    axis = "difference (points)" if narrow else "difference of accuracy (points)"
    figure, grid = style.forest(ticks, narrow=narrow, height=0.27 * len(ticks) + 0.5, extra=0.5, axis=axis, margin=0.7)
    for split, axes in grid.items():
        for place, method, baseline in lines:
            style.draw_difference(
                axes, results.find(method, NOISY, baseline=baseline, split=split), place, *look_of(method)
            )
        for text in axes.get_yticklabels():
            text.set_fontsize(9)
            text.set_fontweight("bold" if text.get_text() in dict(groups) else "normal")
        axes.grid(visible=False, axis="y")
    return figure


def draw_groups(groups: Sequence[Results], narrow: bool) -> Figure:
    """The change of each group's reference method: at the slightest noise, and over all noisy rates."""
    ticks = [(place, _wrapped(group.short)) for place, group in enumerate(groups)]
    axis = "change (points)" if narrow else "change against clean pre-training (points)"
    figure, grid = style.forest(ticks, narrow=narrow, height=0.36 * len(groups) + 0.9, extra=0.6, axis=axis)
    marks = (("slightest noise", "#D55E00", "D", -0.13), ("mean of noisy rates", "#0072B2", "o", 0.13))
    for split, axes in grid.items():
        axes.tick_params(axis="y", labelsize=8.5)
        for label, color, marker, dodge in marks:
            for place, group in enumerate(groups):
                rate = (*group.noisy_rates, NOISY)[0] if label == "slightest noise" else NOISY
                row = group.change(group.reference_method, rate, split=split)
                style.draw_difference(axes, row, place + dodge, color, marker)
            axes.plot([], [], color=color, marker=marker, linestyle="none", label=label)
    style.legend_below(grid["id"], columns=2)
    return figure


def _wrapped(text: str, width: int = 30) -> str:
    """Wrap a label at commas, so that it takes little space in the figure."""
    lines = [""]
    for part in text.split(", "):
        joined = f"{lines[-1]}, {part}" if lines[-1] else part
        lines = [*lines[:-1], joined] if len(joined) <= width or not lines[-1] else [*lines, part]
    return "\n".join(lines)


# ---- the map of shifts -----------------------------------------------------------------------------------------------


def draw_shifts(results: Results, narrow: bool) -> Figure:
    """The reference method's change under each shift at each rate, as a map with numbers."""
    method = results.reference_method
    shifts, rates = [*results.shifts, MEAN_SHIFT], results.noisy_rates
    rows = [[results.change(method, rate, split="ood", shift=shift) for shift in shifts] for rate in rates]
    x_names, y_names = shifts, [rate_text(rate) for rate in rates]
    x_label, y_label = "shift", results.noise
    if narrow:
        rows = [list(line) for line in zip(*rows, strict=True)]
        x_names, y_names = y_names, x_names
        x_label, y_label = f"{results.noise} in pre-training", "shift"
    values = np.array([[math.nan if row is None else 100 * row.mean for row in line] for line in rows])
    figure = new_figure(*((4.6, 0.4 * len(rows) + 1.5) if narrow else (9.2, 0.5 * len(rows) + 1.7)))
    axes = figure.subplots()
    limit = float(np.nanmax(np.abs(values))) or 1.0
    image = axes.imshow(values, cmap="PuOr", vmin=-limit, vmax=limit, aspect="auto")
    _numbers(axes, rows, image.to_rgba(values))
    axes.set_xticks(range(len(x_names)), x_names)
    axes.set_yticks(range(len(y_names)), y_names)
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    place, aspect = ("bottom", 30) if narrow else ("right", 12)
    bar = figure.colorbar(image, ax=axes, location=place, pad=0.02, aspect=aspect)
    bar.set_label("change (points)")
    bar.outline.set_visible(False)
    return figure


def _numbers(axes: Axes, rows: Sequence[Sequence[SummaryRow | None]], colors: NDArray[np.float64]) -> None:
    """Write each change into its cell, in brackets where it is not significant; white on dark cells."""
    for y, line in enumerate(rows):
        for x, row in enumerate(line):
            if row is None:
                continue
            plain = outcome(row) in ("not significant", "no interval")
            luminance = float(np.array([0.2126, 0.7152, 0.0722]) @ colors[y, x, :3] ** 2.2)
            axes.text(
                x, y, f"({signed(row.mean)})" if plain else signed(row.mean), ha="center", va="center", fontsize=9,
                color="white" if luminance < 0.2 else INK, fontstyle="italic" if plain else "normal",
            )  # fmt: skip
