"""Which samples get noise: exact counts, decimal arithmetic, nested from lower to higher rates."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import sparse

from .._checks import check_number
from .inputs import Mask

Selection: TypeAlias = Literal["exact", "exact_per_class", "bernoulli"]

SELECTIONS = ("exact", "exact_per_class", "bernoulli")
LARGE = 1 << 20
"""Of more samples than this, those with the smallest random numbers are taken: an order of all is four times slower."""


def exact_rate(rate: object, name: str = "rate") -> Fraction:
    """The rate as its decimal text says it, so that 0.29 is 29/100 and not the nearest binary fraction."""
    number = check_number(rate, name, minimum=0.0, maximum=1.0)
    try:
        return Fraction(str(rate))
    except ValueError:
        return Fraction(repr(number))


def recorded_rate(share: Fraction) -> float | str:
    """What an audit holds, so that :func:`exact_rate` of it is ``share`` again: a float, or text like "1/3"."""
    return float(share) if Fraction(repr(float(share))) == share else str(share)


def half_up(share: Fraction, count: int) -> int:
    """floor(share·count + 1/2), exactly."""
    return math.floor(share * count + Fraction(1, 2))


def by_class(labels: npt.NDArray[Any], num_classes: int) -> tuple[npt.NDArray[Any], list[int]]:
    """Where the labels of each class lie, ascending, class after class, and where each class begins and ends.

    (N,) and K + 1 numbers. It is the counting sort that turns rows of a sparse matrix, one label in each, into columns:
    three times as fast as numpy's radix sort.
    """
    index = np.int32 if labels.size < 2**31 else np.int64
    cells = np.ones(labels.size, dtype=np.bool_), labels.astype(index), np.arange(labels.size + 1, dtype=index)
    columns = sparse.csr_array(cells, shape=(labels.size, num_classes)).tocsc()
    return columns.indices, columns.indptr.tolist()


def random_order(count: int, generator: np.random.Generator) -> npt.NDArray[np.signedinteger[Any]]:
    """What ``generator.permutation(count)`` gives, in half of the memory."""
    order = np.arange(count, dtype=np.int32 if count < 2**31 else np.int64)
    generator.shuffle(order)
    return order


def smallest(size: int, count: int, generator: np.random.Generator) -> Mask:
    """(size,) bool: the ``count`` samples with the smallest of random 64-bit numbers; of equal ones the first."""
    numbers = generator.integers(2**64 - 1, size=size, dtype=np.uint64, endpoint=True)
    if count == 0:
        return np.zeros(size, dtype=np.bool_)
    last = np.partition(numbers, count - 1)[count - 1]
    selected = numbers < last
    selected[np.flatnonzero(numbers == last)[: count - int(np.count_nonzero(selected))]] = True
    return selected


def select(
    labels: npt.NDArray[Any], num_classes: int, share: Fraction, selection: str, generator: np.random.Generator
) -> Mask:
    """The samples whose label is drawn anew: (N,) bool. What is drawn here does not depend on the rate."""
    if selection == "bernoulli":
        return generator.random(labels.size) < float(share)
    if selection == "exact" and labels.size > LARGE:
        return smallest(labels.size, half_up(share, labels.size), generator)
    selected = np.zeros(labels.size, dtype=np.bool_)
    order = random_order(labels.size, generator)
    if selection == "exact":
        selected[order[: half_up(share, labels.size)]] = True
        return selected
    small = labels.astype(np.min_scalar_type(num_classes - 1), copy=False)
    places, bounds = by_class(small[order], num_classes)  # in random order within each class
    for start, stop in pairwise(bounds):
        selected[order[places[start : start + half_up(share, stop - start)]]] = True
    return selected
