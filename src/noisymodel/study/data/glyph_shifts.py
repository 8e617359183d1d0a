"""Distribution shifts of glyphs: changes of a drawing, of the finished picture, or of both."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from . import effects
from .drawing import Array, Drawing, rotation
from .source import Shift


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


def _dashed(drawing: Drawing, _: np.random.Generator) -> Drawing:
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


SHIFTS = {
    shift.name: shift
    for shift in (
        Shift("rotation", "tuning", "turned by 0.3 to 0.6 rad", _rotated),
        Shift("thick", "tuning", "strokes of thickness 0.2 to 0.28", partial(_with_thickness, low=0.2, high=0.28)),
        Shift("shear", "tuning", "sheared by 0.3 to 0.6", _sheared),
        Shift(
            "low_contrast",
            "tuning",
            "contrast reduced to 30 to 50 %",
            after=partial(effects.low_contrast, low=0.3, high=0.5),
        ),
        Shift("noise", "tuning", "Gaussian pixel noise 0.25", after=partial(effects.gaussian_noise, scale=0.25)),
        Shift("blur", "tuning", "Gaussian blur of 1 pixel", after=partial(effects.blur, scale=1.0)),
        Shift("occlusion", "tuning", "a grey square of 5 × 5 pixels", after=partial(effects.occlude, size=5)),
        Shift("small", "report", "shrunk to 55 to 75 %", _shrunk),
        Shift("trans", "report", "moved by 2.4 to 3.6 pixels along both axes", _translated),
        Shift("salt", "report", "8 % of the pixels white", after=partial(effects.salt, share=0.08)),
        Shift(
            "edge",
            "report",
            "gradient length in place of ink",
            after=partial(effects.edges, gain=1.0),
        ),
        Shift("clutter", "report", "three short strokes too many", _cluttered),
        Shift(
            "texture", "report", "a plane wave of amplitude 0.25 added", after=partial(effects.texture, strength=0.25)
        ),
        Shift("warp", "report", "canvas warped by a sine of 0.8 to 1.6 pixels", _warped),
        Shift("dash", "report", "strokes dashed, period 4 pixels", _dashed),
        Shift("thin", "report", "strokes of thickness 0.04 to 0.07", partial(_with_thickness, low=0.04, high=0.07)),
        Shift("grad", "report", "brightness gradient of ± 0.4", after=partial(effects.illumination, strength=0.4)),
    )
}
