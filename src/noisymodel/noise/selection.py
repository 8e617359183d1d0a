"""Selection of the samples that get noise: exact counts in decimal arithmetic, nested from lower to higher rates."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import sparse

from .._checks import check_choice, check_number
from .inputs import Mask

Selection: TypeAlias = Literal["exact", "exact_per_class", "bernoulli"]

SELECTIONS = ("exact", "exact_per_class", "bernoulli")
LARGE = 1 << 20
"""Above this many samples, those with the smallest random numbers are selected: a full random order is four times
slower."""


def exact_rate(rate: object, name: str = "rate") -> Fraction:
    """The rate as its decimal text says it, so that 0.29 is 29/100 and not the nearest binary fraction."""
    number = check_number(rate, name, minimum=0.0, maximum=1.0)
    try:
        return Fraction(str(rate))
    except ValueError:
        return Fraction(repr(number))


def recorded_rate(share: Fraction) -> float | str:
    """The form of a rate in an audit, from which :func:`exact_rate` recovers ``share``: a float, or text like "1/3"."""
    return float(share) if Fraction(repr(float(share))) == share else str(share)


def given_rate(recorded: Any) -> Any:
    """The rate that :func:`recorded_rate` wrote."""
    return Fraction(recorded) if isinstance(recorded, str) else recorded


def half_up(share: Fraction, count: int) -> int:
    """floor(share·count + 1/2), exactly."""
    return math.floor(share * count + Fraction(1, 2))


def by_class(labels: npt.NDArray[Any], num_classes: int) -> tuple[npt.NDArray[Any], list[int]]:
    """The indices of the labels sorted by class, (N,), and the bounds of each class among them, K + 1 numbers.

    The indices ascend within a class. The counting sort is scipy's conversion of a sparse matrix from rows to columns,
    with one label in each row: three times as fast as numpy's radix sort.
    """
    index = np.int32 if labels.size < 2**31 else np.int64
    cells = np.ones(labels.size, dtype=np.bool_), labels.astype(index), np.arange(labels.size + 1, dtype=index)
    columns = sparse.csr_array(cells, shape=(labels.size, num_classes)).tocsc()
    return columns.indices, columns.indptr.tolist()


def random_order(count: int, generator: np.random.Generator) -> npt.NDArray[np.signedinteger[Any]]:
    """The same order as ``generator.permutation(count)``, in half of the memory."""
    order = np.arange(count, dtype=np.int32 if count < 2**31 else np.int64)
    generator.shuffle(order)
    return order


def smallest(size: int, count: int, generator: np.random.Generator) -> Mask:
    """(size,) bool: the ``count`` samples with the smallest random 64-bit numbers; in a tie the first samples."""
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
    """(N,) bool: the samples whose label is drawn anew. The random numbers drawn here do not depend on the rate."""
    check_choice(selection, "selection", SELECTIONS)
    if selection == "bernoulli":
        return generator.random(labels.size) < float(share)
    if selection == "exact" and labels.size > LARGE:
        return smallest(labels.size, half_up(share, labels.size), generator)
    selected = np.zeros(labels.size, dtype=np.bool_)
    for places in counted(random_order(labels.size, generator), labels, num_classes, selection):
        selected[places[: half_up(share, places.size)]] = True
    return selected


def counted(order: npt.NDArray[Any], labels: npt.NDArray[Any], num_classes: int, selection: str) -> list[Any]:
    """The places, in their order, of which a share is selected: all, or in exact_per_class those of each class."""
    if selection != "exact_per_class":
        return [order]
    small = labels.astype(np.min_scalar_type(num_classes - 1), copy=False)
    places, bounds = by_class(small[order], num_classes)
    return [order[places[start:stop]] for start, stop in pairwise(bounds)]


def earlier_equals(codes: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.int64]:
    """(N,): for each code, how many equal codes come before it."""
    index = np.argsort(codes, kind="stable")
    ordered = codes[index]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]][: codes.size])
    ranks = np.empty(codes.size, dtype=np.int64)
    ranks[index] = np.arange(codes.size) - np.repeat(starts, np.diff(np.r_[starts, codes.size]))
    return ranks
