"""Instance-dependent label noise (Xia et al. 2020): the features of a sample decide its noisy class."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from .._checks import check_flag, check_integer, check_number
from .._random import array_generator
from .injection import Step, Subset, begin
from .inputs import Array, Floats, Labels, check_finite, float_blocks, float_rows, read_matrix
from .result import NoisyLabels
from .selection import by_class, exact_rate, recorded_rate

TILE = 256  # rows in one matrix product: always the same rows together, so that `chunk_size` changes no rounding
_WIDEST = 1e6  # the largest std: N(rate, std²) truncated to [0, 1] is then uniform to nine digits
_BYTES = 1 << 26  # of features read at a time


def instance_dependent(
    labels: Labels | NoisyLabels,
    features: Array,
    rate: float,
    *,
    num_classes: int | None = None,
    std: float = 0.1,
    shared: bool = False,
    standardize: bool = False,
    chunk_size: int | None = None,
    subset: Subset | None = None,
    classes: Sequence[int] | None = None,
    seed: int,
) -> NoisyLabels:
    """Instance-dependent noise: each sample draws its own flip probability, and x decides the new class.

    For each sample i with label y:

    1. q_i ~ N(rate, std²) truncated to [0, 1];
    2. W_k ∈ R^{D×K} with entries N(0, 1), one for each clean class k;
    3. p_i = q_i · softmax_{j≠y}(x_i·W_y), and p_iy = 1 − q_i;
    4. the noisy label is drawn from p_i.

    So x decides *to which class* a label flips, but not *whether* it flips. Near 0 and 1 the mean of q differs from
    ``rate`` (:func:`expected_instance_rate`: .129 at .1); the audit has it as ``expected_rate``. ``rate=0`` changes
    nothing, although the formula would flip 8 %. There is no exact mode: flips are independent, with probability q_i.

    The logits have the standard deviation ‖x‖. With raw 0–255 pixels, as in the published code, the softmax is one-hot
    and the noise is a fixed function of x. With unit-variance features of dimension D, ‖x‖ is about √D. Scale the
    features to make the softmax as soft as you need.

    The noise is nested in the rate: every label flipped at a lower rate is flipped to the same class at a higher one.
    W_k is drawn class by class and only flipped samples are multiplied, so a million rows by a thousand classes need
    D·K numbers and 64 MiB of rows at a time. All products are float64 on the CPU in tiles of 256 rows, so the result
    depends on neither dtype, device nor ``chunk_size``. Another processor's BLAS may round differently, which changes
    a label with a probability of about 1e-13.

    The audit's checksum of the features covers the rows of the samples that flip (class after class); with
    ``standardize`` it also covers the means and standard deviations of all rows.

    Args:
        labels: (N,) integers in [0, K), or earlier :class:`NoisyLabels`.
        features: (N, D) real numbers; images flattened; may be an ``np.memmap``.
        rate: the mode of q, in [0, 1].
        num_classes: K, at least 2; ``None`` takes the largest label + 1.
        std: standard deviation of q before truncation, ≥ 0; 0 makes every q the rate.
        shared: one W for all classes (as in the CIFAR-N code) in place of one for each.
        standardize: subtract each feature's mean and divide by its standard deviation (of all rows) first.
        chunk_size: rows read at a time, rounded up to a multiple of 256; ``None`` reads 64 MiB.
        subset: as in :func:`symmetric`.
        classes: as in :func:`symmetric`.
        seed: integer in [0, 2**63).

    Returns:
        :class:`NoisyLabels` with ``transition=None``: there is a matrix for each sample, not for the set.

    Raises:
        TypeError: labels that are not integers, features that are no real numbers.
        ValueError: features not finite or not one row per label; ``rate`` outside [0, 1]; ``std`` < 0; K < 2.

    Source: Xia et al. 2020 (NeurIPS, arXiv 2006.07836), algorithm 2.

    >>> features = np.random.default_rng(0).standard_normal((1000, 8))
    >>> noisy = instance_dependent(np.arange(1000) % 4, features, 0.3, seed=0)
    >>> abs(noisy.realized_rate - 0.3) < 0.06
    True
    """
    shared, standardize = check_flag(shared, "shared"), check_flag(standardize, "standardize")
    step = begin(labels, num_classes, subset=subset, classes=classes, seed=seed)
    share = exact_rate(rate)
    spread = check_number(std, "std", minimum=0.0)
    if step.num_classes < 2:
        raise ValueError("`num_classes` must be at least 2, got 1: there is no other class to flip to")
    matrix = read_matrix(features, "features", step.current.size)
    rows = _Rows(matrix, _chunk(chunk_size, matrix.shape[1]), standardize)
    chances = flip_probabilities(float(share), spread, step.generator(3).random(step.part.size))
    flipped = np.flatnonzero(step.generator(1).random(step.part.size) < chances)
    points = step.generator(2).random(step.part.size)
    places, bounds = by_class(step.part[flipped], step.num_classes)
    noisy = step.part.copy()
    for label, (start, stop) in enumerate(pairwise(bounds)):
        if stop > start:
            group = flipped[places[start:stop]]
            noisy[group] = _targets(step, rows, label, group, points[group], shared)
    return step.finish(
        noisy,
        method="instance_dependent",
        parameters={"rate": recorded_rate(share), "std": spread, "shared": shared, "standardize": standardize},
        requested=float(share),
        expected=expected_instance_rate(float(share), spread),
        inputs={"features": {"shape": list(matrix.shape), "checksum": rows.digest.hexdigest()}},
    )


def flip_probabilities(rate: float, std: float, uniforms: Floats) -> Floats:
    """q: the quantiles of N(rate, std²) truncated to [0, 1] at these probabilities; zero if ``rate`` is zero."""
    std = min(std, _WIDEST)
    if rate == 0.0 or std == 0.0:
        return np.full(uniforms.size, rate)
    low, high = ndtr(-rate / std), ndtr((1.0 - rate) / std)
    return np.clip(rate + std * ndtri(low + uniforms * (high - low)), 0.0, 1.0)


def expected_instance_rate(rate: float, std: float = 0.1) -> float:
    """The mean of N(rate, std²) truncated to [0, 1]: the share of wrong labels of :func:`instance_dependent`.

    τ + σ·(φ(−τ/σ) − φ((1−τ)/σ)) / (Φ((1−τ)/σ) − Φ(−τ/σ)); 0 for ``rate`` 0, which flips nothing.

    Raises:
        ValueError: ``rate`` outside [0, 1], ``std`` < 0.

    >>> [round(expected_instance_rate(rate), 5) for rate in (0.05, 0.1, 0.2, 0.5)]
    [0.10092, 0.12876, 0.20552, 0.5]
    """
    mean = check_number(rate, "rate", minimum=0.0, maximum=1.0)
    spread = min(check_number(std, "std", minimum=0.0), _WIDEST)
    if mean == 0.0 or spread == 0.0:
        return mean
    low, high = -mean / spread, (1.0 - mean) / spread
    with np.errstate(over="ignore"):  # far out the density is 0
        density = np.exp(-0.5 * np.array([low, high]) ** 2) / np.sqrt(2 * np.pi)
    return float(mean + spread * (density[0] - density[1]) / (ndtr(high) - ndtr(low)))


def _chunk(chunk_size: int | None, num_features: int) -> int:
    wanted = _BYTES // (8 * num_features) if chunk_size is None else check_integer(chunk_size, "chunk_size", minimum=1)
    return TILE * max(1, -(-wanted // TILE))


class _Rows:
    """Features, checked once, read a chunk at a time in float64, with a checksum of what was read."""

    def __init__(self, matrix: Array, chunk: int, standardize: bool) -> None:
        self.matrix, self.chunk = matrix, chunk
        self.digest = hashlib.sha256(np.array(matrix.shape, dtype="<i8").tobytes())
        self.mean: Floats | None = None
        self.std: Floats | None = None
        check_finite(matrix, "features")
        if standardize:
            self._moments()

    def _tiles(self) -> Iterator[Floats]:
        """All rows, in pieces that do not depend on the chunk size: the rounding of sums depends on their order."""
        for _, block in float_blocks(self.matrix, self.chunk):
            yield from (block[first : first + TILE] for first in range(0, len(block), TILE))

    def _moments(self) -> None:
        count = len(self.matrix)
        mean = np.add.reduce([tile.sum(axis=0) for tile in self._tiles()]) / count
        squares = np.add.reduce([((tile - mean) ** 2).sum(axis=0) for tile in self._tiles()])
        std = np.sqrt(squares / count)
        std[std == 0] = 1.0
        self.mean, self.std = mean, std
        self.digest.update(np.stack([mean, std]).astype("<f8").data)

    def read(self, places: npt.NDArray[np.intp]) -> Floats:
        block = float_rows(self.matrix, places)
        self.digest.update(block.astype("<f8", copy=False).data)
        return block if self.mean is None or self.std is None else (block - self.mean) / self.std


def _targets(
    step: Step, rows: _Rows, label: int, places: npt.NDArray[np.intp], points: Floats, shared: bool
) -> npt.NDArray[np.intp]:
    """Draw the class to which each of these samples, all of one class, flips."""
    projection = class_projection(step, rows.matrix.shape[1], 0 if shared else label)
    where = step.indices()[places] if step.inside is not None else places
    found: list[npt.NDArray[np.intp]] = []
    for start in range(0, places.size, rows.chunk):
        block = rows.read(where[start : start + rows.chunk])
        for first in range(0, len(block), TILE):
            tile = block[first : first + TILE]
            weights = softmax_weights(tile, projection, label)
            found.append(draw(weights, points[start + first : start + first + len(tile)]))
    return np.concatenate(found)


def class_projection(step: Step, num_features: int, label: int) -> Floats:
    """W of one class: (D, K)."""
    generator = array_generator(step.seed, 0x70726F6A, step.depth, label)
    return generator.standard_normal((num_features, step.num_classes))


def softmax_weights(rows: Floats, projection: Floats, label: int) -> Floats:
    """(n, K): P(noisy = j | x, flipped), up to one factor for each row; zero for the clean class."""
    logits = rows @ projection
    logits[:, label] = -np.inf
    logits -= logits.max(axis=1, keepdims=True)
    return np.exp(logits, out=logits)


def draw(weights: Floats, points: Floats) -> npt.NDArray[np.intp]:
    """(n,): the first class where the cumulative share of the weights passes the point; never one of weight zero."""
    sums = np.cumsum(weights, axis=1)
    threshold = np.minimum(points * sums[:, -1], np.nextafter(sums[:, -1], 0.0))  # rounding may reach the last sum
    return (sums > threshold[:, None]).argmax(axis=1)
