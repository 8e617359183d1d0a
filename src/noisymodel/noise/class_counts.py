"""New labels for all samples of a class at once: counts from a row of the matrix, then a random order.

Independent draws from a row are the same as multinomial counts in a uniformly random order. So both the exact and the
Bernoulli modes sort once by class and shuffle each class once; no sample needs a search in a cumulative sum.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from .inputs import Floats
from .selection import by_class

_SNAP = 1e-9  # a product this close to an integer counts as that integer: 0.29 · 100 is 29

Counts = npt.NDArray[np.int64]
Rows = Callable[[int], tuple[npt.NDArray[np.intp], Floats]]
"""A function from a clean class to the classes with positive probability, ascending, and their probabilities."""
Allocate = Callable[[int, npt.NDArray[np.intp], Floats, int, np.random.Generator], Counts]
"""(clean class, classes, their probabilities, samples, generator) -> how many samples each of the classes gets."""


def largest_remainder(
    label: int, columns: npt.NDArray[np.intp], shares: Floats, size: int, generator: np.random.Generator
) -> Counts:
    """floor(size·share) each, the rest to the largest remainders; ties go to other classes first, then by chance."""
    ideal = shares * (size / shares.sum())
    counts = np.floor(ideal + _SNAP)
    left = size - int(counts.sum())
    if left:
        # ties among remainders equal to nine digits are broken by numbers too small to matter otherwise
        key = np.round(ideal - counts, 9) + generator.random(len(shares)) * (0.4 * _SNAP)
        key[columns != label] += 0.5 * _SNAP
        counts[np.argpartition(key, len(key) - left)[len(key) - left :]] += 1
    return counts.astype(np.int64)


def multinomial(
    label: int, columns: npt.NDArray[np.intp], shares: Floats, size: int, generator: np.random.Generator
) -> Counts:
    """Counts of ``size`` independent draws."""
    del label, columns
    last = int(np.argmax(shares))  # numpy gives rounding leftovers to the last class, so it must be a possible one
    order = np.r_[:last, last + 1 : len(shares), last]
    counts = np.empty(len(shares), dtype=np.int64)
    counts[order] = generator.multinomial(size, shares[order] / shares.sum())
    return counts


def assign(
    labels: npt.NDArray[Any], num_classes: int, rows: Rows, allocate: Allocate, generator: np.random.Generator
) -> npt.NDArray[Any]:
    """(N,): for each sample a class from the row of its label; ``allocate`` computes the counts of each row."""
    places, bounds = by_class(labels, num_classes)
    targets = np.empty(labels.size, dtype=np.min_scalar_type(num_classes - 1))  # small: written in random order
    for label, (start, stop) in enumerate(pairwise(bounds)):
        if stop > start:
            columns, shares = rows(label)
            counts = allocate(label, columns, shares, stop - start, generator)
            block = np.repeat(columns, counts)  # numpy shuffles items of 8 bytes fastest
            generator.shuffle(block)
            targets[places[start:stop]] = block
    return targets
