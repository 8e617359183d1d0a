"""A map of principal angles: how far the dominant directions of features are turned."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from .._checks import check_array, check_flag, check_sequence, check_text
from .drawing import INK, Label, axes_or_new, label_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def angle_map(
    angles: npt.ArrayLike | torch.Tensor,
    *,
    rows: Sequence[Label],
    columns: Sequence[Label] | None = None,
    row_title: str = "",
    column_title: str | None = None,
    numbers: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """A heat map of angles, in degrees, from 0 (the same direction, light) to 90 (orthogonal, dark).

    Either the `principal_angles` of each comparison, a row for each noise rate against clean pre-training, or a square
    of `dominant_rotation` between all pairs of models, which then name the columns too.

    Args:
        angles: (R, C) **radians** in [0, π/2]; NaN leaves a cell empty.
        rows: R labels; a number is a noise rate.
        columns: C labels; None counts the principal angles from 1.
        row_title: of the y axis.
        column_title: of the x axis; None: "principal angle i" if there are no ``columns``.
        numbers: write the degrees into the cells.
        ax: where to draw; None: on a new figure.

    Raises:
        ValueError: other shapes, angles out of range, degrees for instance.
        MissingExtraError: matplotlib is not installed.

    >>> import pytest
    >>> _ = pytest.importorskip("matplotlib")
    >>> axes = angle_map([[0.0, 0.1], [0.2, 1.5]], rows=[0.05, 0.3])
    >>> axes.get_xlabel(), [text.get_text() for text in axes.texts]
    ('principal angle i', ['0', '6', '11', '86'])
    """
    given = check_array(angles, "angles")
    values = np.asarray(given.cpu() if isinstance(given, torch.Tensor) else given, dtype=np.float64)
    check_flag(numbers, "numbers")
    check_text(row_title, "row_title")
    if column_title is not None:
        check_text(column_title, "column_title")
    check_sequence(rows, "rows", "labels")
    if columns is not None:
        check_sequence(columns, "columns", "labels")
    if values.ndim != 2 or 0 in values.shape:
        raise ValueError(f"`angles` must have shape (R, C), got {values.shape}")
    if np.any((values < 0) | (values > math.pi / 2 * (1 + 1e-12))):
        raise ValueError(f"`angles` must be radians in [0, π/2], got {np.nanmin(values):g} to {np.nanmax(values):g}")
    names = list(range(1, values.shape[1] + 1)) if columns is None else [label_text(label) for label in columns]
    if len(rows) != values.shape[0] or len(names) != values.shape[1]:
        raise ValueError(
            f"`rows` and `columns` must name {values.shape[0]} rows and {values.shape[1]} columns, "
            f"got {len(rows)} and {len(names)}"
        )
    axes = axes_or_new(ax, 1.9 + 0.5 * values.shape[1], 1.6 + 0.42 * values.shape[0])
    degrees = np.degrees(values)
    image = axes.imshow(degrees, cmap="cividis_r", vmin=0, vmax=90, aspect="auto")
    axes.set_yticks(range(len(rows)), [label_text(label) for label in rows])
    axes.set_xticks(range(len(names)), [str(name) for name in names])
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.set_ylabel(row_title)
    default = "principal angle i" if columns is None else ""
    axes.set_xlabel(default if column_title is None else column_title)
    if numbers:
        _write(axes, degrees, image.to_rgba(degrees))
    bar = axes.figure.colorbar(image, ax=axes, ticks=[0, 15, 30, 45, 60, 75, 90])
    bar.set_label("angle (degrees)")
    return axes


def _write(axes: Axes, degrees: npt.NDArray[np.float64], colors: npt.NDArray[np.float64]) -> None:
    """The degrees in each cell, white on dark ones."""
    for (row, column), value in np.ndenumerate(degrees):
        if math.isnan(value):
            continue
        luminance = float(np.array([0.2126, 0.7152, 0.0722]) @ colors[row, column, :3] ** 2.2)
        color = "white" if luminance < 0.2 else INK
        axes.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize="small", color=color)
