"""The style of the study's figures: colours for the colour-blind, and markers for prints in grey."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ...errors import import_extra
from ...plot.drawing import INK, new_figure
from ..analysis.summary import SummaryRow, is_variant
from .results import Results
from .wording import rate_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_STYLE = Path(__file__).with_name("study.mplstyle")
TITLES = {"id": "In-domain", "ood": "Under shift"}
"""The splits as titles of panels."""

PLAIN_COLORS = ("#000000", "#E69F00", "#56B4E9", "#CC79A7", "#7A7A7A")
VARIANT_COLORS = ("#009E73", "#0072B2", "#D55E00")
"""Okabe and Ito's palette, the strong colours for NMTune; grey in place of yellow, no line colour on white."""
PLAIN_MARKERS = ("o", "s", "v", "P", "<", "p")
VARIANT_MARKERS = ("D", "^", "X", "h")
RATE_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")

_WITHOUT_DATE: dict[str, dict[str, None]] = {
    "png": {"Software": None},
    "svg": {"Date": None},
    "pdf": {"CreationDate": None, "ModDate": None},
}


class MethodStyle(NamedTuple):
    """The look of a method in all figures."""

    color: str
    marker: str
    line: str


@contextmanager
def look() -> Generator[None]:
    """Matplotlib's defaults with our settings, inside the block only; the caller's settings and backend stay."""
    import_extra("matplotlib", extra="study", purpose="the study's figures")
    from matplotlib import style

    with style.context(_STYLE, after_reset=True):
        yield


def encode(draw: Callable[[bool], Figure], formats: Sequence[str], *, narrow: bool = False) -> list[bytes]:
    """Draw a figure once, and write it in each format (``"png"``, ``"svg"``, ``"pdf"``); equal figures, equal bytes."""
    encoded: list[bytes] = []
    with look():
        figure = draw(narrow)
        for name in formats:
            buffer = io.BytesIO()
            figure.savefig(buffer, format=name, metadata=_WITHOUT_DATE[name])
            encoded.append(buffer.getvalue())
            figure.set_layout_engine("none")  # the first format laid the figure out, for all alike
    return encoded


def panels(count: int, *, narrow: bool, height: float, extra: float = 0.8) -> tuple[Figure, list[Axes]]:
    """A figure with panels side by side, or one above the other if it is narrow."""
    figure = new_figure(4.6, height * count * 0.86 + extra) if narrow else new_figure(4.6 * count, height + extra)
    rows, columns = (count, 1) if narrow else (1, count)
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def forest(
    ticks: Sequence[tuple[float, str]], *, narrow: bool, height: float, extra: float, axis: str, margin: float = 0.5
) -> tuple[Figure, dict[str, Axes]]:
    """The figure of a forest plot, with a panel for each split: a line at zero, and labels at heights, from above."""
    figure, grid = panels(2, narrow=narrow, height=height, extra=extra)
    heights = [place for place, _ in ticks]
    for axes, (split, title) in zip(grid, TITLES.items(), strict=True):
        axes.axvline(0, color=INK, linewidth=1)
        axes.set_yticks(heights, [text if narrow or split == "id" else "" for _, text in ticks])
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(heights[-1] + margin, -margin)
        axes.set_title(title)
        axes.set_xlabel(axis)
    return figure, dict(zip(TITLES, grid, strict=True))


def method_styles(results: Results) -> dict[str, MethodStyle]:
    """A colour, a marker and a line for each method; controls are dashed."""
    styles: dict[str, MethodStyle] = {}
    places = {True: 0, False: 0}
    for note in results.methods:
        variant = is_variant(note.name)
        place = places[variant]
        places[variant] += 1
        colors, markers = (VARIANT_COLORS, VARIANT_MARKERS) if variant else (PLAIN_COLORS, PLAIN_MARKERS)
        dashed = note.role == "control" or place >= len(colors)
        line = "--" if dashed else "-"
        styles[note.name] = MethodStyle(colors[place % len(colors)], markers[place % len(markers)], line)
    return styles


def rate_colors(rates: Sequence[str]) -> dict[str, str]:
    """Colours from dark to bright with the noise rate; a print in grey keeps their order."""
    import matplotlib as mpl
    from matplotlib.colors import to_hex

    scale = mpl.colormaps["viridis"]
    steps = max(1, len(rates) - 1)
    return {rate: to_hex(scale(0.85 * place / steps)) for place, rate in enumerate(rates)}


def rate_places(results: Results) -> list[float]:
    """The places of the noise rates on an axis, in percent."""
    return [100 * float(rate) for rate in results.rates]


def rate_axis(axes: Axes, results: Results) -> None:
    """Label the noise rates on the x axis."""
    axes.set_xticks(rate_places(results), [rate_text(rate).removesuffix("\u00a0%") for rate in results.rates])
    axes.set_xlabel(f"{results.noise} in pre-training (%)")


def legend_below(axes: Axes, *, columns: int, title: str | None = None) -> None:
    """One legend under all panels, in the order of the lines of one of them."""
    handles, labels = axes.get_legend_handles_labels()
    axes.figure.legend(handles, labels, loc="outside lower center", ncols=min(columns, len(labels)), title=title)


def percent_axis(axes: Axes) -> None:
    """Limit a vertical axis of percentages to 0 to 100, even if intervals go beyond; call it after drawing."""
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, 0.0), min(high, 100.0))


def draw_means(
    axes: Axes,
    places: Iterable[float],
    rows: Iterable[SummaryRow | None],
    style: tuple[str, str, str],
    label: str,
    scale: float = 100,
) -> None:
    """Draw a line of means with intervals at places on the x axis; missing means are left out."""
    color, marker, line = style
    there = [(place, row) for place, row in zip(places, rows, strict=True) if row is not None]
    axes.errorbar(
        [place for place, _ in there], [scale * row.mean for _, row in there],
        yerr=[_half(row, scale) for _, row in there], color=color, marker=marker, linestyle=line, label=label,
        markersize=5.5, linewidth=1.5, elinewidth=0.9, markeredgecolor="white", markeredgewidth=0.6,
    )  # fmt: skip


def draw_difference(axes: Axes, row: SummaryRow | None, height: float, color: str, marker: str) -> None:
    """Draw a point of a forest plot with its interval, filled if the interval excludes zero."""
    if row is not None:
        axes.errorbar(
            [100 * row.mean], [height], xerr=[_half(row, 100)], color=color, marker=marker, markersize=6.5,
            markerfacecolor=color if row.significant else "white", markeredgecolor=color, linewidth=1.6, capsize=0,
        )  # fmt: skip


def _half(row: SummaryRow, scale: float) -> float:
    return 0 if math.isnan(row.low) else scale * row.half_width
