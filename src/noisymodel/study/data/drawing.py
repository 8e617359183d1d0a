"""Drawing glyphs: pen strokes as arrays, instances of them, and pictures."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from .effects import Images

Array = NDArray[np.float64]

BINS = 3
"""The number of equal parts of a range of sizes or thicknesses, for captions and labels."""

STROKES = 4
LATTICE = np.linspace(-0.75, 0.75, 4)
SOFTNESS = 0.04  # width of a stroke's soft edge, on a canvas of width 2
_SCALE = (0.75, 1.05)
_THICKNESS = (0.09, 0.16)


@dataclass(frozen=True)
class Drawing:
    """A batch of glyph instances before rendering; the canvas is [−1, 1]²."""

    strokes: Array
    """``(n, strokes, 2 end points, 2 coordinates)``."""
    thickness: Array
    """``(n,)``: distance from a stroke's axis at which the ink ends."""
    contrast: Array
    """``(n,)``: brightness of the ink."""
    background: Array
    """``(n,)``: brightness of the paper."""
    scale: Array
    """``(n,)``: how large the glyph was drawn, before any shift."""
    dashes: float = 0.0
    """Period of the dashes along a stroke; 0 draws whole strokes."""
    waves: Array | None = None
    """``(n, 3, 2 axes)``: amplitude, frequency and phase of a sinusoidal warp of the canvas."""

    @property
    def size_bin(self) -> NDArray[np.int64]:
        """``(n,)``: part of the range of scales, in ``range(BINS)``."""
        return _bin(self.scale, *_SCALE)

    @property
    def thickness_bin(self) -> NDArray[np.int64]:
        """``(n,)``: part of the usual range of thicknesses, in ``range(BINS)``."""
        return _bin(self.thickness, *_THICKNESS)

    def with_thickness_bin(self, bins: NDArray[np.int64], generator: np.random.Generator) -> Drawing:
        """The same drawing with a thickness drawn in each of ``bins (n,)``."""
        low, high = _THICKNESS
        return replace(self, thickness=low + (high - low) * (bins + generator.random(len(bins))) / BINS)

    def moved(self, matrix: Array | None = None, offset: Array | None = None) -> Drawing:
        """The same drawing with all points mapped by ``matrix (n, 2, 2)``, then shifted by ``offset (n, 2)``."""
        points = self.strokes
        if matrix is not None:
            points = np.einsum("nij,nspj->nspi", matrix, points)
        if offset is not None:
            points = points + offset[:, None, None, :]
        return replace(self, strokes=points)


def _bin(values: Array, low: float, high: float) -> NDArray[np.int64]:
    return np.clip((values - low) / (high - low) * BINS, 0, BINS - 1).astype(np.int64)


def rotation(angle: Array) -> Array:
    """Matrices ``(n, 2, 2)`` that turn by ``angle (n,)`` radians."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.stack([np.stack([cosine, -sine], -1), np.stack([sine, cosine], -1)], -2)


def glyph_shapes(generator: np.random.Generator, classes: int, variants: int, moved_strokes: int) -> Array:
    """Stroke end points of every fine class, ``(classes · variants, strokes, 2, 2)``.

    Each stroke of a base glyph joins two random points of the lattice. In each variant, ``moved_strokes`` strokes have
    one end point moved by 0.8 in a random direction. Fine class ``c · variants + v`` is
    variant ``v`` of base glyph ``c``.
    """
    lattice = np.stack(np.meshgrid(LATTICE, LATTICE, indexing="ij"), -1).reshape(-1, 2)
    shapes = np.empty((classes, variants, STROKES, 2, 2))
    for base in shapes:
        base[:] = [lattice[generator.choice(len(lattice), 2, replace=False)] for _ in range(STROKES)]
        for variant in base:
            for stroke in generator.choice(STROKES, moved_strokes, replace=False):
                end, angle = generator.integers(2), generator.uniform(0, 2 * np.pi)
                variant[stroke, end] += 0.8 * np.array([np.cos(angle), np.sin(angle)])
    return np.clip(shapes, -0.9, 0.9).reshape(-1, STROKES, 2, 2)


def draw(shapes: Array, classes: NDArray[np.int64], generator: np.random.Generator) -> Drawing:
    """An instance of each of ``classes``: jitter, rotation, scale, translation, thickness, contrast, paper."""
    count = len(classes)
    points = shapes[classes] + generator.normal(0, 0.05, (count, STROKES, 2, 2))
    scale = generator.uniform(*_SCALE, count)
    matrix = scale[:, None, None] * rotation(generator.uniform(-0.12, 0.12, count))
    drawing = Drawing(
        strokes=points,
        thickness=generator.uniform(*_THICKNESS, count),
        contrast=generator.uniform(0.7, 1.0, count),
        background=generator.uniform(0.0, 0.15, count),
        scale=scale,
    )
    return drawing.moved(matrix, generator.uniform(-0.08, 0.08, (count, 2)))


def render(drawing: Drawing, size: int, generator: np.random.Generator, noise: float = 0.05) -> Images:
    """Pictures ``(n, size, size)`` in [0, 1] of a drawing, with Gaussian pixel noise."""
    count, strokes = drawing.strokes.shape[:2]
    axis = (np.arange(size) + 0.5) * 2 / size - 1
    x, y = (grid.reshape(1, -1) for grid in np.meshgrid(axis, axis, indexing="xy"))
    if drawing.waves is not None:
        amplitude, frequency, phase = (drawing.waves[:, i, :, None] for i in range(3))
        x, y = (
            x + amplitude[:, 0] * np.sin(frequency[:, 0] * y + phase[:, 0]),
            y + amplitude[:, 1] * np.sin(frequency[:, 1] * x + phase[:, 1]),
        )
    ink = np.zeros((count, size * size))
    for index in range(strokes):
        start, end = drawing.strokes[:, index, 0], drawing.strokes[:, index, 1]
        direction = end - start
        length = np.maximum(np.linalg.norm(direction, axis=1, keepdims=True), 1e-9)
        unit = direction / length
        along = (x - start[:, :1]) * unit[:, :1] + (y - start[:, 1:]) * unit[:, 1:]
        across = (x - start[:, :1]) * unit[:, 1:] - (y - start[:, 1:]) * unit[:, :1]
        distance = np.hypot(along - np.clip(along, 0, length), across)
        stroke = expit((drawing.thickness[:, None] - distance) / SOFTNESS)
        if drawing.dashes:
            stroke *= np.mod(along, drawing.dashes) < drawing.dashes / 2
        ink = np.maximum(ink, stroke)
    paper, bright = drawing.background[:, None], drawing.contrast[:, None]
    pixels = paper + (bright - paper) * ink + noise * generator.standard_normal(ink.shape)
    return np.clip(pixels, 0, 1).reshape(count, size, size).astype(np.float32)
