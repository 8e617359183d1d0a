"""Distribution shifts that act on finished pictures: pure functions of ``(n, height, width)`` arrays and a generator.

Each maps pictures in [0, 1] to new pictures of the same shape in [0, 1]; the input does not change. Effects without
chance ignore the generator.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Images = NDArray[np.float32]


def _per_picture(generator: np.random.Generator, images: Images, low: float, high: float) -> Images:
    """One uniform draw a picture, shaped to broadcast."""
    return generator.uniform(low, high, (len(images), 1, 1)).astype(np.float32)


def _unit(images: NDArray[np.floating]) -> Images:
    return np.clip(images, 0.0, 1.0).astype(np.float32)


def gaussian_noise(images: Images, generator: np.random.Generator, *, scale: float) -> Images:
    """Add N(0, ``scale``²) to every pixel."""
    return _unit(images + scale * generator.standard_normal(images.shape, dtype=np.float32))


def salt(images: Images, generator: np.random.Generator, *, share: float) -> Images:
    """Set a random ``share`` of the pixels to 1."""
    return np.where(generator.random(images.shape) < share, np.float32(1), images)


def blur(images: Images, _: object = None, *, scale: float) -> Images:
    """Convolve with a Gaussian of standard deviation ``scale`` pixels."""
    return _unit(ndimage.gaussian_filter(images, (0, scale, scale), mode="nearest"))


def low_contrast(images: Images, generator: np.random.Generator, *, low: float, high: float) -> Images:
    """Shrink each picture's values towards 0.5 by a factor from U(``low``, ``high``)."""
    return _unit(0.5 + (images - 0.5) * _per_picture(generator, images, low, high))


def invert(images: Images, _: object = None) -> Images:
    """Swap dark and bright."""
    return (1 - images).astype(np.float32)


def occlude(images: Images, generator: np.random.Generator, *, size: int) -> Images:
    """Put a square of ``size`` × ``size`` pixels of one random grey at a random place."""
    count, height, width = images.shape
    top = generator.integers(0, height - size + 1, (count, 1, 1))
    left = generator.integers(0, width - size + 1, (count, 1, 1))
    rows, columns = np.arange(height)[None, :, None], np.arange(width)[None, None, :]
    inside = (rows >= top) & (rows < top + size) & (columns >= left) & (columns < left + size)
    return np.where(inside, _per_picture(generator, images, 0.0, 1.0), images)


def edges(images: Images, _: object = None, *, gain: float) -> Images:
    """Replace the picture by the length of its gradient (Sobel), times ``gain``."""
    slope, smooth = np.array([-1.0, 0.0, 1.0]), np.array([1.0, 2.0, 1.0]) / 4
    across = ndimage.correlate1d(ndimage.correlate1d(images, slope, axis=2), smooth, axis=1)
    down = ndimage.correlate1d(ndimage.correlate1d(images, slope, axis=1), smooth, axis=2)
    return _unit(gain * np.hypot(across, down))


def texture(images: Images, generator: np.random.Generator, *, strength: float) -> Images:
    """Add a plane wave of random direction, phase and wave length (2.5 to 5 pixels)."""
    _, height, width = images.shape
    angle = _per_picture(generator, images, 0, np.pi)
    phase = _per_picture(generator, images, 0, 2 * np.pi)
    frequency = 2 * np.pi / _per_picture(generator, images, 2.5, 5.0)
    rows, columns = np.arange(height)[None, :, None], np.arange(width)[None, None, :]
    wave = np.sin(frequency * (np.cos(angle) * columns + np.sin(angle) * rows) + phase)
    return _unit(images + strength * wave)


def illumination(images: Images, generator: np.random.Generator, *, strength: float) -> Images:
    """Add a linear brightness gradient of random direction, from −``strength`` to ``strength`` across the picture."""
    _, height, width = images.shape
    angle = _per_picture(generator, images, 0, 2 * np.pi)
    rows = np.linspace(-1, 1, height, dtype=np.float32)[None, :, None]
    columns = np.linspace(-1, 1, width, dtype=np.float32)[None, None, :]
    return _unit(images + strength * (np.cos(angle) * columns + np.sin(angle) * rows))


def affine(
    images: Images,
    generator: np.random.Generator,
    *,
    angle: tuple[float, float] = (0.0, 0.0),
    translation: tuple[float, float] = (0.0, 0.0),
) -> Images:
    """Rotate by ± U(``angle``) rad, move by ± U(``translation``) pixels along each axis (bilinear, zero outside)."""
    count, height, width = images.shape
    turn = generator.uniform(*angle, count) * generator.choice([-1, 1], count)
    move = generator.uniform(*translation, (count, 2)) * generator.choice([-1, 1], (count, 2))
    centre = np.array([(height - 1) / 2, (width - 1) / 2])
    moved = np.empty_like(images)
    for i, (picture, theta) in enumerate(zip(images, turn, strict=True)):
        matrix = np.array([[np.cos(theta), -np.sin(theta)], [np.sin(theta), np.cos(theta)]])
        offset = centre - matrix @ (centre + move[i])
        moved[i] = ndimage.affine_transform(picture, matrix, offset, order=1, mode="constant")
    return _unit(moved)


def strokes(images: Images, generator: np.random.Generator, *, count: int, length: float) -> Images:
    """Scribble ``count`` bright lines of ``length`` pixels, one pixel thick, at random places over each picture."""
    pictures, height, width = images.shape
    rows, columns = np.arange(height)[:, None], np.arange(width)[None, :]
    result = images.copy()
    for _ in range(count):
        y, x = (generator.uniform(0, size - 1, (pictures, 1, 1)) for size in (height, width))
        angle = _per_picture(generator, images, 0, np.pi)
        along = (rows - y) * np.sin(angle) + (columns - x) * np.cos(angle)
        across = (columns - x) * np.sin(angle) - (rows - y) * np.cos(angle)
        outside = np.hypot(np.maximum(np.abs(along) - length / 2, 0), across)
        result = np.maximum(result, np.clip(1.0 - outside, 0, 1).astype(np.float32))
    return result
