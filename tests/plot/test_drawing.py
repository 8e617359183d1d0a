"""The look of the lines, labels, and that nothing of matplotlib's state is touched."""

from __future__ import annotations

import builtins
import io
import sys
from itertools import pairwise

import numpy as np
import pytest

from noisymodel import plot
from noisymodel.errors import MissingExtraError
from noisymodel.plot import drawing
from noisymodel.spectrum import Spectrum

pytest.importorskip("matplotlib")


def spectrum(*values: float) -> Spectrum:
    return Spectrum(np.array(values), 10, len(values))


def luminance(color: str) -> float:
    from matplotlib.colors import to_rgb

    return float(np.array([0.2126, 0.7152, 0.0722]) @ np.array(to_rgb(color)) ** 2.2)


def test_lines_differ_in_colour_dash_and_marker_and_all_show_on_white() -> None:
    styles = [drawing.line_style(place) for place in range(35)]
    looks = [(style["color"], str(style["linestyle"]), style["marker"]) for style in styles]
    assert len(set(looks)) == 35
    for first, second in pairwise(looks):
        assert all(mine != other for mine, other in zip(first, second, strict=True))
    assert len({(str(style["linestyle"]), style["marker"]) for style in styles}) == 35  # without any colour
    assert all(luminance(color) < 0.5 for color in drawing.COLORS)


def test_palette_is_okabe_and_itos_without_yellow() -> None:
    published = {"#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7"}
    assert set(drawing.COLORS) == published - {"#F0E442"}


def test_labels() -> None:
    assert [drawing.label_text(label) for label in ("clean", 0.0, 0.05, 0.125)] == [
        "clean",
        "0 % noise",
        "5 % noise",
        "12.5 % noise",
    ]


DRAWINGS = {
    "scree": lambda: plot.scree(spectrum(2.0, 1.0)).figure,
    "cumulative_energy": lambda: plot.cumulative_energy(spectrum(2.0, 1.0)).figure,
    "before_after": lambda: plot.before_after(spectrum(2.0, 1.0), spectrum(1.0, 1.0)),
    "metric_against_rate": lambda: plot.metric_against_rate({0.0: 1.0, 0.1: 2.0}, label="SVE (nats)").figure,
    "metrics_against_rate": lambda: plot.metrics_against_rate({0.1: {"entropy": 1.0, "largest_ratio": 1.0}}),
    "metrics_of_models": lambda: plot.metrics_of_models({"entropy": {"a": 1.0}}),
    "angle_map": lambda: plot.angle_map([[0.1]], rows=["a"]).figure,
}


def test_every_public_function_is_drawn_here() -> None:
    assert sorted(DRAWINGS) == sorted(plot.__all__)


@pytest.mark.parametrize("name", DRAWINGS)
def test_nothing_of_matplotlibs_state_is_touched(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib as mpl

    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)  # importing it is an error
    before = dict(dict.items(mpl.rcParams))  # as they lie there: reading them may choose a backend
    figure = DRAWINGS[name]()
    for axes in figure.axes:
        assert axes.get_xlabel() or axes.get_ylabel()
    held = io.BytesIO()
    figure.savefig(held, format="png")
    assert held.getvalue().startswith(b"\x89PNG")
    assert dict(dict.items(mpl.rcParams)) == before


@pytest.mark.parametrize("name", DRAWINGS)
def test_without_matplotlib_the_extra_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def without_matplotlib(module: str, *arguments, **options):
        if module.startswith("matplotlib"):
            raise ImportError(module)
        return original(module, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without_matplotlib)
    with pytest.raises(MissingExtraError, match=r"`matplotlib` is needed for noisymodel.plot.*noisymodel\[plot\]"):
        DRAWINGS[name]()
