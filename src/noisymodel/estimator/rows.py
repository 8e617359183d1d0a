"""The rows that a classifier is fitted on: an order of their own, what they weigh, which are held out."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .._random import array_generator

_ORDER = 0x6F72
_MOST_REPEATS = 10  # whole weights become repeated rows up to so many times as many rows
_CHUNK = 1 << 14

Floats = npt.NDArray[np.floating[Any]]
Integers = npt.NDArray[np.int64]


class Rows(NamedTuple):
    """Features (N, D), class ids (N,) and what each row's loss counts (N,), or None where all count alike."""

    features: Floats
    targets: Integers
    weights: Floats | None

    def take(self, index: Integers) -> Rows:
        """The rows of an index."""
        weights = None if self.weights is None else self.weights[index]
        return Rows(self.features[index], self.targets[index], weights)


def fitting_rows(
    features: Floats, targets: Integers, sample_weight: Floats | None, class_weight: Floats | None
) -> Rows:
    """The rows in an order that does not depend on the order in which they came, without those of weight zero.

    Whole numbers as ``sample_weight`` repeat the rows, which is what scikit-learn means by them, up to ten times as
    many rows; other weights, and those of classes (K,), multiply the loss.
    """
    index = canonical_order(features, targets)
    weights = None
    if sample_weight is not None:
        index = index[sample_weight[index] > 0]
        weights = sample_weight[index]
        if np.all(weights == np.floor(weights)) and weights.sum() <= _MOST_REPEATS * len(targets):
            index, weights = np.repeat(index, weights.astype(np.int64)), None
    if class_weight is not None:
        own = class_weight[targets[index]]
        weights = own if weights is None else weights * own
    return Rows(features[index], targets[index], weights)


def canonical_order(features: Floats, targets: Integers) -> Integers:
    """An order of the rows by class and by a fixed random direction in feature space, the same for every shuffling."""
    direction = array_generator(0, _ORDER).standard_normal(features.shape[1])
    along = np.empty(len(features))
    for begin in range(0, len(features), _CHUNK):
        piece = features[begin : begin + _CHUNK].astype(np.float64)
        along[begin : begin + _CHUNK] = (piece * direction).sum(axis=1)  # by rows: no BLAS, so whatever stands beside
    return np.lexsort((along, targets)).astype(np.int64)


def root_mean_square(features: Floats) -> float:
    """The root of the mean of all squared entries, in float64; 1 where all are zero.

    >>> root_mean_square(np.array([[3.0, 4.0], [0.0, 0.0]]))
    2.5
    """
    pieces = np.array_split(features, len(features) // _CHUNK + 1)
    total = sum(float(np.square(piece, dtype=np.float64).sum()) for piece in pieces)
    return float(np.sqrt(total / features.size)) or 1.0
