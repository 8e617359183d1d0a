"""Figures of accuracy: against the noise rate, between methods, and under each shift."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..analysis.summary import MEAN_SHIFT, NOISY, SummaryRow
from .figure_style import (
    INK,
    TITLES,
    draw_difference,
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
from .wording import outcome, rate_text, signed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_accuracy(results: Results, narrow: bool) -> Figure:
    """Accuracy against noise rate, in-domain and under shift, a line for each method."""
    figure, grid = panels(2, narrow=narrow, height=3.9, extra=1.5 if narrow else 1.1)
    styles = method_styles(results)
    span = max((100 * float(rate) for rate in results.rates), default=1) or 1
    for axes, split in zip(grid, TITLES, strict=True):
        for place, note in enumerate(results.methods):
            rows = [results.find(note.name, rate, split=split) for rate in results.rates]
            dodge = (place - (len(results.methods) - 1) / 2) * span * 0.006
            draw_means(axes, rows, styles[note.name], note.label, dodge=dodge)
        rate_axis(axes, results)
        axes.set_title(TITLES[split])
        axes.set_ylabel("accuracy (%)" if split == "id" else "accuracy, mean of shifts (%)")
        percent_axis(axes)
    legend_below(figure, grid[0], narrow=False, columns=1 if narrow else 4)
    return figure


def draw_differences(results: Results, narrow: bool) -> Figure:
    """Draw the paired difference of each method and each of its baselines, with its interval."""
    styles = method_styles(results)
    return draw_paired(
        results,
        {
            results.label(method): [(f"− {results.label(baseline)}", method, baseline) for baseline in baselines]
            for method, baselines in grouped(results.pairs).items()
        },
        lambda method: styles[method][:2],
        narrow,
    )


def draw_paired(
    results: Results,
    groups: Mapping[str, Sequence[tuple[str, str, str]]],
    look_of: Callable[[str], tuple[str, str]],
    narrow: bool,
) -> Figure:
    """A forest plot of paired differences over the noisy rates.

    Args:
        results: the results of the study.
        groups: heading -> label, method and baseline of each line.
        look_of: a function from a method to its colour and marker.
        narrow: whether to draw for a phone.
    """
    count = len(groups) + sum(map(len, groups.values()))
    figure, grid = panels(2, narrow=narrow, height=0.27 * count + 0.5, extra=0.5)
    for panel, (axes, split) in enumerate(zip(grid, TITLES, strict=True)):
        axes.axvline(0, color=INK, linewidth=1)
        ticks: list[tuple[float, str, str]] = []
        height = 0.0
        for heading, lines in groups.items():
            ticks.append((height, heading, "bold"))
            for label, method, baseline in lines:
                height += 1
                ticks.append((height, label, "normal"))
                row = results.find(method, NOISY, baseline=baseline, split=split)
                draw_difference(axes, row, height, *look_of(method))
            height += 1.4
        labelled = narrow or panel == 0
        axes.set_yticks([place for place, _, _ in ticks], [text for _, text, _ in ticks] if labelled else [])
        for text, (_, _, weight) in zip(axes.get_yticklabels(), ticks, strict=False):
            text.set_fontweight(weight)
            text.set_fontsize(9)
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False, axis="y")
        axes.set_ylim(ticks[-1][0] + 0.7, -0.7)
        axes.set_title(TITLES[split])
        axes.set_xlabel("difference (points)" if narrow else "difference of accuracy (points)")
    return figure


def draw_shifts(results: Results, narrow: bool) -> Figure:
    """The reference method's change under each shift at each rate, as a map with numbers."""
    shifts = [*results.shifts, MEAN_SHIFT]
    rates = results.noisy_rates
    method = results.reference_method
    rows = [[results.change(method, rate, split="ood", shift=shift) for shift in shifts] for rate in rates]
    values = np.array([[math.nan if row is None else 100 * row.mean for row in line] for line in rows])
    if narrow:
        values = values.T
        rows = [list(line) for line in zip(*rows, strict=True)]
    count_y, count_x = values.shape
    figure = new_figure(*((4.6, 0.4 * count_y + 1.5) if narrow else (9.2, 0.5 * count_y + 1.7)))
    axes = figure.subplots()
    limit = float(np.nanmax(np.abs(values))) or 1.0
    image = axes.imshow(values, cmap="PuOr", vmin=-limit, vmax=limit, aspect="auto")
    _numbers(axes, rows, image.to_rgba(values))
    shift_names = [*results.shifts, "mean"]
    rate_names = [rate_text(rate) for rate in rates]
    x_names, y_names = (rate_names, shift_names) if narrow else (shift_names, rate_names)
    axes.set_xticks(range(count_x), x_names)
    axes.set_yticks(range(count_y), y_names)
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.set_xlabel(f"{results.noise} in pre-training" if narrow else "shift")
    axes.set_ylabel("shift" if narrow else results.noise)
    bar = figure.colorbar(
        image, ax=axes, location="bottom" if narrow else "right", pad=0.02, aspect=30 if narrow else 12
    )
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
