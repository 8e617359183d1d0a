"""Distribution shifts of glyphs: changes of a drawing, of the finished picture, or of both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from ..rows import ShiftNote
from . import effects
from .drawing import Array, Drawing, rotation


def _signs(generator: np.random.Generator, *shape: int) -> Array:
    return generator.choice(np.array([-1.0, 1.0]), shape)


def _rotated(drawing: Drawing, generator: np.random.Generator) -> Drawing:
    count = len(drawing.strokes)
    return drawing.moved(rotation(generator.uniform(0.3, 0.6, count) * _signs(generator, count)))


def _sheared(drawing: Drawing, generator: np.random.Generator) -> Drawing:
    count = len(drawing.strokes)
    matrix = np.tile(np.eye(2), (count, 1, 1))
    matrix[:, 0, 1] = generator.uniform(0.3, 0.6, count) * _signs(generator, count)
    return drawing.moved(matrix)


def _shrunk(drawing: Drawing, generator: np.random.Generator) -> Drawing:
    scale = generator.uniform(0.55, 0.75, len(drawing.strokes))
    return drawing.moved(scale[:, None, None] * np.eye(2))


def _translated(drawing: Drawing, generator: np.random.Generator) -> Drawing:
    count = len(drawing.strokes)
    return drawing.moved(offset=generator.uniform(0.3, 0.45, (count, 2)) * _signs(generator, count, 2))


def _with_thickness(drawing: Drawing, generator: np.random.Generator, low: float, high: float) -> Drawing:
    return replace(drawing, thickness=generator.uniform(low, high, len(drawing.strokes)))


def _dashed(drawing: Drawing, generator: np.random.Generator) -> Drawing:
    del generator  # every drawing is dashed alike
    return replace(drawing, dashes=0.5)


def _warped(drawing: Drawing, generator: np.random.Generator) -> Drawing:
    shape = (len(drawing.strokes), 2)
    amplitude, frequency = generator.uniform(0.1, 0.2, shape), generator.uniform(2.5, 4.5, shape)
    return replace(drawing, waves=np.stack([amplitude, frequency, generator.uniform(0, 2 * np.pi, shape)], 1))


def _cluttered(drawing: Drawing, generator: np.random.Generator) -> Drawing:
    count, extra = len(drawing.strokes), 3
    start = generator.uniform(-0.95, 0.95, (count, extra, 1, 2))
    angle = generator.uniform(0, 2 * np.pi, (count, extra, 1))
    end = start + 0.35 * np.stack([np.cos(angle), np.sin(angle)], -1)
    return replace(drawing, strokes=np.concatenate([drawing.strokes, np.concatenate([start, end], 2)], 1))


@dataclass(frozen=True)
class GlyphShift:
    """A named shift: a change of the drawing, a change of the finished picture, or both."""

    note: ShiftNote
    redraw: Callable[[Drawing, np.random.Generator], Drawing] | None = None
    effect: Callable[[effects.Images, np.random.Generator], effects.Images] | None = None


def _shift(
    name: str,
    role: str,
    description: str,
    redraw: Callable[[Drawing, np.random.Generator], Drawing] | None = None,
    effect: Callable[[effects.Images, np.random.Generator], effects.Images] | None = None,
) -> tuple[str, GlyphShift]:
    return name, GlyphShift(ShiftNote(name, description, role), redraw, effect)


SHIFTS: Mapping[str, GlyphShift] = dict(
    [
        _shift("rotation", "tuning", "turned by 0.3 to 0.6 rad", _rotated),
        _shift("thick", "tuning", "strokes of thickness 0.2 to 0.28", partial(_with_thickness, low=0.2, high=0.28)),
        _shift("shear", "tuning", "sheared by 0.3 to 0.6", _sheared),
        _shift(
            "low_contrast",
            "tuning",
            "contrast reduced to 30 to 50 %",
            None,
            partial(effects.low_contrast, low=0.3, high=0.5),
        ),
        _shift("noise", "tuning", "Gaussian pixel noise 0.25", None, partial(effects.gaussian_noise, scale=0.25)),
        _shift("blur", "tuning", "Gaussian blur of 1 pixel", None, lambda images, _: effects.blur(images, scale=1.0)),
        _shift("occlusion", "tuning", "a grey square of 5 × 5 pixels", None, partial(effects.occlude, size=5)),
        _shift("small", "report", "shrunk to 55 to 75 %", _shrunk),
        _shift("trans", "report", "moved by 2.4 to 3.6 pixels along both axes", _translated),
        _shift("salt", "report", "8 % of the pixels white", None, partial(effects.salt, share=0.08)),
        _shift(
            "edge",
            "report",
            "gradient length in place of ink",
            None,
            lambda images, _: effects.edges(images, gain=1.0),
        ),
        _shift("clutter", "report", "three short strokes too many", _cluttered),
        _shift(
            "texture", "report", "a plane wave of amplitude 0.25 added", None, partial(effects.texture, strength=0.25)
        ),
        _shift("warp", "report", "canvas warped by a sine of 0.8 to 1.6 pixels", _warped),
        _shift("dash", "report", "strokes dashed, period 4 pixels", _dashed),
        _shift("thin", "report", "strokes of thickness 0.04 to 0.07", partial(_with_thickness, low=0.04, high=0.07)),
        _shift("grad", "report", "brightness gradient of ± 0.4", None, partial(effects.illumination, strength=0.4)),
    ]
)
