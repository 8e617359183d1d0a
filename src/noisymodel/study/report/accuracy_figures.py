"""Figures of accuracy: against the noise rate, between methods, and under each shift."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..analysis.summary import MEAN_SHIFT, NOISY, SummaryRow
from .figure_style import INK, legend_below, method_styles, new_figure, panels, percent_axis, rate_axis
from .results import Results
from .wording import outcome, rate_text, signed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLES = {"id": "In-domain", "ood": "Under shift"}


def draw_accuracy(results: Results, narrow: bool) -> Figure:
    """Accuracy against noise rate, in-domain and under shift, a line for each method."""
    figure, grid = panels(2, narrow=narrow, height=3.9, extra=1.5 if narrow else 1.1)
    styles = method_styles(results)
    span = max((100 * float(rate) for rate in results.rates), default=1) or 1
    for axes, split in zip(grid, TITLES, strict=True):
        for place, note in enumerate(results.methods):
            rows = [row for rate in results.rates if (row := results.find(note.name, rate, split=split))]
            dodge = (place - (len(results.methods) - 1) / 2) * span * 0.006
            _line(axes, rows, dodge, note.label, styles[note.name])
        rate_axis(axes, results)
        axes.set_title(TITLES[split])
        axes.set_ylabel("accuracy (%)" if split == "id" else "accuracy, mean of shifts (%)")
        percent_axis(axes)
    legend_below(figure, grid[0], narrow=False, columns=1 if narrow else 4)
    return figure


def _line(axes: Axes, rows: list[SummaryRow], dodge: float, label: str, style: tuple[str, str, str]) -> None:
    color, marker, line = style
    axes.errorbar(
        [100 * float(row.noise_rate) + dodge for row in rows],
        [100 * row.mean for row in rows],
        yerr=[0 if math.isnan(row.low) else 50 * (row.high - row.low) for row in rows],
        color=color, marker=marker, linestyle=line, label=label,
        markersize=5.5, linewidth=1.5, elinewidth=0.9, markeredgecolor="white", markeredgewidth=0.6,
    )  # fmt: skip


def draw_differences(results: Results, narrow: bool) -> Figure:
    """Each method against each of its baselines: the paired difference with its interval."""
    variants = list(dict.fromkeys(variant for variant, _ in results.pairs))
    rows = len(results.pairs) + len(variants)
    figure, grid = panels(2, narrow=narrow, height=0.27 * rows + 0.5, extra=0.5)
    styles = method_styles(results)
    for panel, (axes, split) in enumerate(zip(grid, TITLES, strict=True)):
        axes.axvline(0, color=INK, linewidth=1)
        ticks: list[tuple[float, str]] = []
        height = 0.0
        for variant in variants:
            ticks.append((height, results.label(variant)))
            for baseline in [baseline for name, baseline in results.pairs if name == variant]:
                height += 1
                row = results.find(variant, NOISY, baseline=baseline, split=split)
                ticks.append((height, f"− {results.label(baseline)}"))
                if row is not None:
                    _point(axes, row, height, styles[variant])
            height += 1.4
        _label_rows(axes, ticks, labelled=narrow or panel == 0)
        axes.set_title(TITLES[split])
        axes.set_xlabel("difference (points)" if narrow else "difference of accuracy (points)")
    return figure


def _point(axes: Axes, row: SummaryRow, height: float, style: tuple[str, str, str]) -> None:
    color, marker, _ = style
    half = 0 if math.isnan(row.low) else 50 * (row.high - row.low)
    face = color if row.significant else "white"
    axes.errorbar(
        [100 * row.mean], [height], xerr=[half], color=color, marker=marker, markerfacecolor=face,
        markeredgecolor=color, markersize=6.5, linewidth=1.6, capsize=0,
    )  # fmt: skip


def _label_rows(axes: Axes, ticks: list[tuple[float, str]], *, labelled: bool) -> None:
    axes.set_yticks([place for place, _ in ticks], [text for _, text in ticks] if labelled else [])
    for text, (_, label) in zip(axes.get_yticklabels(), ticks, strict=False):
        text.set_fontweight("normal" if label.startswith("−") else "bold")
        text.set_fontsize(9)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.set_ylim(ticks[-1][0] + 0.7, -0.7)


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
