"""Figures over several groups of a study: changes side by side, and accuracy by the number of labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..analysis.summary import NOISY
from .figure_style import INK, TITLES, draw_difference, draw_means, legend_below, method_styles, panels, percent_axis
from .groups import Named, shots_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_groups(groups: Sequence[Named], narrow: bool) -> Figure:
    """Draw the change of each group's reference method: at the slightest noise, and over all noisy rates."""
    figure, grid = panels(2, narrow=narrow, height=0.36 * len(groups) + 0.9, extra=0.6)
    marks = (("slightest noise", "#D55E00", "D", -0.13), ("mean of noisy rates", "#0072B2", "o", 0.13))
    for panel, (axes, split) in enumerate(zip(grid, TITLES, strict=True)):
        axes.axvline(0, color=INK, linewidth=1)
        for label, color, marker, dodge in marks:
            for place, group in enumerate(groups):
                results = group.results
                rates = results.noisy_rates
                rate = rates[0] if label.startswith("slight") and rates else NOISY
                row = results.change(results.reference_method, rate, split=split)
                draw_difference(axes, row, place + dodge, color, marker)
            axes.plot([], [], color=color, marker=marker, linestyle="none", label=label)
        names = [_wrapped(group.short) if narrow or panel == 0 else "" for group in groups]
        axes.set_yticks(range(len(groups)), names, fontsize=8.5)
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(len(groups) - 0.5, -0.5)
        axes.set_title(TITLES[split])
        axes.set_xlabel("change (points)" if narrow else "change against clean pre-training (points)")
    legend_below(figure, grid[0], narrow=False, columns=2)
    return figure


def _wrapped(text: str, width: int = 30) -> str:
    """Wrap a label at commas, so that it takes little space in the figure."""
    lines = [""]
    for part in text.split(", "):
        joined = f"{lines[-1]}, {part}" if lines[-1] else part
        lines = [*lines[:-1], joined] if len(joined) <= width or not lines[-1] else [*lines, part]
    return "\n".join(lines)


def draw_shots(family: Sequence[Named], narrow: bool) -> Figure:
    """Accuracy of each method against the number of labels per class, mean over the noisy rates."""
    figure, grid = panels(2, narrow=narrow, height=3.4, extra=1.1)
    results = family[-1].results
    styles = method_styles(results)
    places = range(len(family))
    for axes, split in zip(grid, TITLES, strict=True):
        for note in results.methods:
            rows = [group.results.find(note.name, NOISY, split=split) for group in family]
            draw_means(axes, rows, styles[note.name], note.label, places=places)
        axes.set_xticks(places, [shots_text(group.results.view.shots) for group in family])
        axes.set_xlabel("labels per class")
        axes.set_title(TITLES[split])
        axes.set_ylabel("accuracy (%)" if split == "id" else "accuracy, mean of shifts (%)")
        percent_axis(axes)
    legend_below(figure, grid[0], narrow=False, columns=1 if narrow else 4)
    return figure
