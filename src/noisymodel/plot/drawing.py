"""What all pictures share: lines that differ in colour, dash and marker, their names, and a figure of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from .._checks import check_number
from ..errors import MissingExtraError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Label: TypeAlias = str | float
Value = TypeVar("Value")

INK = "#222222"
GREY = "#6e6e6e"
COLORS = ("#000000", "#D55E00", "#56B4E9", "#009E73", "#CC79A7", "#0072B2", "#E69F00")
"""Okabe and Ito's palette but for its yellow, which is no line on white; neighbours differ in lightness."""
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def line_style(place: int) -> dict[str, Any]:
    """Colour, dash and marker of the line in this place; 35 places look different, and in grey too."""
    return {
        "color": COLORS[place % len(COLORS)],
        "linestyle": LINES[place % len(LINES)],
        "marker": MARKERS[place % len(MARKERS)],
        "linewidth": 1.6,
        "markersize": 5.5,
        "markeredgecolor": "white",
        "markeredgewidth": 0.6,
    }


def new_figure(width: float, height: float) -> Figure:
    """A figure of its own canvas, in inches.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("matplotlib", extra="plot", purpose="noisymodel.plot") from None
    return Figure(figsize=(width, height), layout="constrained")


def axes_or_new(ax: Axes | None, width: float = 4.6, height: float = 3.6) -> Axes:
    """The given axes, or those of a new figure."""
    if ax is None:
        return new_figure(width, height).subplots()
    if not hasattr(ax, "get_yaxis_transform"):
        raise TypeError(f"`ax` must be matplotlib axes, got {type(ax).__name__}")
    return ax


def quiet(axes: Axes) -> None:
    """No box around the axes, and a light grid behind the lines."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)


def index_axis(axes: Axes, title: str) -> None:
    """A logarithmic axis of whole numbers, labelled 1, 2, 5, 10 and so on."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axes.set_xscale("log")
    axes.set_xlabel(title)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def legend(axes: Axes) -> None:
    """A legend where lines have names; what it covers shines through."""
    if any(axes.get_legend_handles_labels()[1]):
        axes.legend(framealpha=0.8, edgecolor="none", fontsize="small")


def named(values: object, kind: type[Value], name: str) -> dict[str, Value]:
    """Label -> value of one value (label "") or of a mapping; a number as a label is a noise rate."""
    if isinstance(values, kind):
        return {"": values}
    if not isinstance(values, Mapping):
        raise TypeError(f"`{name}` must be a {kind.__name__} or a mapping of them, got {type(values).__name__}")
    if not values:
        raise ValueError(f"`{name}` must hold at least one {kind.__name__}, got none")
    found: dict[str, Value] = {}
    for label, value in values.items():
        if not isinstance(value, kind):
            raise TypeError(
                f"`{name}` must hold values of type {kind.__name__}, got {type(value).__name__} at {label!r}"
            )
        found[label_text(label)] = value
    return found


def label_text(label: Label) -> str:
    """A label, a noise rate as percents."""
    if isinstance(label, str):
        return str(label)
    return f"{100 * check_number(label, 'label', minimum=0.0, maximum=1.0):.4g} % noise"
