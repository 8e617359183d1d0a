"""The style of the study's figures: colours for the colour-blind, and markers for prints in grey."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from ...errors import import_extra
from ..analysis.summary import SummaryRow, is_variant
from .results import Results
from .wording import rate_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DOTS_PER_INCH = 200
TITLES = {"id": "In-domain", "ood": "Under shift"}
"""The splits as titles of panels."""
INK = "#222222"

PLAIN_COLORS = ("#000000", "#E69F00", "#56B4E9", "#CC79A7", "#7A7A7A")
VARIANT_COLORS = ("#009E73", "#0072B2", "#D55E00")
"""Okabe and Ito's palette, the strong colours for NMTune; grey in place of yellow, no line colour on white."""
PLAIN_MARKERS = ("o", "s", "v", "P", "<", "p")
VARIANT_MARKERS = ("D", "^", "X", "h")
RATE_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
RATE_LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))

_SETTINGS: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#666666",
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 10,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "figure.facecolor": "white",
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.8,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "savefig.dpi": DOTS_PER_INCH,
    "pdf.fonttype": 42,  # TrueType, whole letters: publishers refuse Type 3
    "svg.hashsalt": "noisymodel",
    "svg.fonttype": "path",
    "text.color": INK,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
}


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
    mpl = import_extra("matplotlib", extra="study", purpose="the study's figures")
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_SETTINGS)
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


def new_figure(width: float, height: float, *, constrained: bool = True) -> Figure:
    """A figure with its own canvas, independent of pyplot and its backend."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained" if constrained else None)
    FigureCanvasAgg(figure)
    return figure


def panels(count: int, *, narrow: bool, height: float, extra: float = 0.8) -> tuple[Figure, list[Axes]]:
    """A figure with panels side by side, or one above the other if it is narrow."""
    if narrow:
        figure = new_figure(4.6, height * count * 0.86 + extra)
        grid = figure.subplots(count, 1, squeeze=False)
    else:
        figure = new_figure(4.6 * count, height + extra)
        grid = figure.subplots(1, count, squeeze=False)
    return figure, list(grid.flat)


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


def rate_axis(axes: Axes, results: Results) -> None:
    """Label the noise rates on the x axis."""
    places = [100 * float(rate) for rate in results.rates]
    axes.set_xticks(places, [rate_text(rate).removesuffix("\u00a0%") for rate in results.rates])
    axes.set_xlabel(f"{results.noise} in pre-training (%)")


def legend_below(figure: Figure, axes: Axes, *, narrow: bool, columns: int, title: str | None = None) -> None:
    """One legend under all panels, in the order of the lines."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=min(2 if narrow else columns, len(labels)), title=title
    )


def percent_axis(axes: Axes) -> None:
    """Limit a vertical axis of percentages to 0 to 100, even if intervals go beyond; call it after drawing."""
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, 0.0), min(high, 100.0))


def draw_means(
    axes: Axes,
    found: Sequence[SummaryRow | None],
    style: tuple[str, str, str],
    label: str,
    scale: float = 100,
    *,
    dodge: float = 0,
    places: Sequence[float] | None = None,
) -> None:
    """Draw a line of means with intervals, over the noise rates or other places; missing means are left out."""
    color, marker, line = style
    at = places or [0 if row is None else 100 * float(row.noise_rate) + dodge for row in found]
    there = [(place, row) for place, row in zip(at, found, strict=True) if row is not None]
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
    return 0 if math.isnan(row.low) else scale * (row.high - row.low) / 2
