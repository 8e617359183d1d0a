"""The map of angles: degrees in the right cells, legible numbers, labels, bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from noisymodel.plot import angle_map

pytest.importorskip("matplotlib")

ANGLES = np.array([[0.0, math.pi / 6, math.pi / 2], [0.1, math.nan, 1.0]])


def texts(axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


@pytest.mark.parametrize("kind", [np.array, torch.tensor, np.ndarray.tolist])
def test_degrees_in_their_cells(kind) -> None:
    axes = angle_map(kind(ANGLES), rows=[0.05, "CLIP"])
    (image,) = axes.get_images()
    np.testing.assert_allclose(np.asarray(image.get_array().filled(math.nan)), np.degrees(ANGLES))
    assert image.get_clim() == (0, 90)
    assert texts(axes) == ["0", "30", "90", "6", "57"]
    assert [text.get_position() for text in axes.texts] == [(0, 0), (1, 0), (2, 0), (0, 1), (2, 1)]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["5 % noise", "CLIP"]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["1", "2", "3"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("principal angle i", "")
    assert axes.figure.axes[1].get_ylabel() == "angle (degrees)"


def test_numbers_are_white_on_dark_and_may_be_left_out() -> None:
    axes = angle_map([[0.0, math.pi / 2]], rows=["a"])
    assert [text.get_color() for text in axes.texts] == ["#222222", "white"]
    assert texts(angle_map([[0.0, 1.0]], rows=["a"], numbers=False)) == []


def test_lightness_falls_with_the_angle() -> None:
    axes = angle_map(np.linspace(0, math.pi / 2, 10)[None], rows=["a"])
    colors = axes.get_images()[0].to_rgba(np.linspace(0, 90, 10))[:, :3]
    assert (np.diff(colors**2.2 @ [0.2126, 0.7152, 0.0722]) < 0).all()


def test_titles_and_given_axes() -> None:
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    found = angle_map(
        [[0.1, 0.2]], rows=["a"], columns=[0.1, "b"], row_title="model", column_title="other model", ax=axes
    )
    assert found is axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("other model", "model")
    assert [text.get_text() for text in axes.get_xticklabels()] == ["10 % noise", "b"]
    assert angle_map([[0.1]], rows=["a"], columns=["b"]).get_xlabel() == ""


@pytest.mark.parametrize(
    ("angles", "options", "message"),
    [
        ([0.1], {"rows": ["a"]}, r"`angles` must have shape \(R, C\), got \(1,\)"),
        (np.ones((1, 0)), {"rows": ["a"]}, r"`angles` must have shape \(R, C\), got \(1, 0\)"),
        ([[30.0]], {"rows": ["a"]}, r"`angles` must be radians in \[0, π/2\], got 30 to 30"),
        ([[-0.1]], {"rows": ["a"]}, r"`angles` must be radians in \[0, π/2\], got -0.1"),
        ([[0.1]], {"rows": ["a", "b"]}, "`rows` and `columns` must name 1 rows and 1 columns, got 2 and 1"),
        ([[0.1]], {"rows": ["a"], "columns": []}, "`rows` and `columns` must name 1 rows and 1 columns, got 1 and 0"),
    ],
)
def test_bad_angles_are_named(angles, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        angle_map(angles, **options)
