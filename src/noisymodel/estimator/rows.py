"""The rows of a fit: in canonical order, without duplicates, with their weights."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .._random import array_generator
from ..files.spilled import taken

_ORDER = 0x6F72
_CHUNK = 1 << 10

Floats = npt.NDArray[np.floating[Any]]
Integers = npt.NDArray[np.int64]


class Rows(NamedTuple):
    """Features (N, D), class ids (N,) and the weights (N,) of the rows' losses, or None if all are equal."""

    features: Floats
    targets: Integers
    weights: Floats | None

    def take(self, index: Integers) -> Rows:
        """The rows of an index."""
        weights = None if self.weights is None else self.weights[index]
        return Rows(taken(self.features, index), self.targets[index], weights)


def fitting_rows(
    features: Floats, targets: Integers, sample_weight: Floats | None, class_weight: Floats | None
) -> Rows:
    """Sort the rows into an order that does not depend on the given one, and drop rows of weight zero.

    Rows with equal features and class become one row with the sum of their weights. So a row of weight 3 and three
    equal rows give the same fit, and no row is both trained on and held out. The class weights (K,) multiply the
    weights of the rows; all are then divided by their mean. Half precision becomes float32.
    """
    index = canonical_order(features, targets)
    weights = np.ones(len(index)) if sample_weight is None else np.asarray(sample_weight, np.float64)[index]
    index, weights = index[weights > 0], weights[weights > 0]
    first = np.flatnonzero(_differs(features, targets, index))
    index, weights = index[first], np.add.reduceat(weights, first)
    if class_weight is not None:
        weights = weights * class_weight[targets[index]]
        index, weights = index[weights > 0], weights[weights > 0]
    alike = bool(np.all(weights == weights[0]))
    kept = np.promote_types(features.dtype, np.float32)
    return Rows(taken(features, index, kept), targets[index], None if alike else weights / weights.mean())


def _differs(features: Floats, targets: Integers, index: Integers) -> npt.NDArray[np.bool_]:
    """(N,): whether each row of an index differs from the one before it."""
    found = np.ones(len(index), dtype=np.bool_)
    for begin in range(1, len(index), _CHUNK):
        here, before = index[begin : begin + _CHUNK], index[begin - 1 : begin - 1 + _CHUNK][: len(index) - begin]
        same = (features[here] == features[before]).all(axis=1) & (targets[here] == targets[before])
        found[begin : begin + len(here)] = ~same
    return found


def canonical_order(features: Floats, targets: Integers) -> Integers:
    """Sort the rows by class, then along a fixed random direction in feature space; any shuffling gives this order."""
    direction = array_generator(0, _ORDER).standard_normal(features.shape[1])
    along = np.empty(len(features))
    for begin in range(0, len(features), _CHUNK):
        piece = features[begin : begin + _CHUNK].astype(np.float64)
        along[begin : begin + _CHUNK] = (piece * direction).sum(axis=1)  # no BLAS: a sum ignores other rows
    return np.lexsort((along, targets)).astype(np.int64)
