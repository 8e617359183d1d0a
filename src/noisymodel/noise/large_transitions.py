"""Transition matrices that are too large for a dense array: computed row by row, or sparse; and their products."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeGuard

import numpy as np
import numpy.typing as npt
from scipy import sparse

from .._checks import check_number
from .inputs import Floats, read_class_count, read_numbers

DENSE_CLASSES = 4096
"""Up to this many classes a transition matrix is a dense array (128 MiB at 4096)."""

_SHARPEST = float(np.finfo(np.float64).tiny)  # cosines divided by a smaller temperature overflow

Csr: TypeAlias = "sparse.csr_array[Any]"


def is_sparse(matrix: object) -> TypeGuard[Csr]:
    """Whether this is one of scipy's sparse matrices; all of them convert to CSR."""
    return sparse.issparse(matrix)


def is_matrix(transition: object) -> bool:
    """Whether all cells of this matrix are there, in an array or a sparse matrix."""
    return isinstance(transition, np.ndarray) or is_sparse(transition)


@dataclass(frozen=True)
class SymmetricTransition:
    """The matrix of symmetric noise for any number of classes: one number on the diagonal, one off the diagonal.

    >>> large = SymmetricTransition(21_841, diagonal=0.9, off_diagonal=0.1 / 21_840)
    >>> large.shape, float(large.row(3)[3])
    ((21841, 21841), 0.9)
    """

    num_classes: int
    diagonal: float
    off_diagonal: float

    def __post_init__(self) -> None:
        read_class_count(self.num_classes)
        for name in ("diagonal", "off_diagonal"):
            check_number(getattr(self, name), name, minimum=0.0, maximum=1.0)

    @property
    def shape(self) -> tuple[int, int]:
        """(K, K)."""
        return self.num_classes, self.num_classes

    def row(self, label: int) -> Floats:
        """(K,): P(noisy | clean = ``label``)."""
        row = np.full(self.num_classes, self.off_diagonal)
        row[label] = self.diagonal
        return row

    def toarray(self) -> Floats:
        """The dense (K, K) matrix: 8·K² bytes."""
        matrix = np.full(self.shape, self.off_diagonal)
        np.fill_diagonal(matrix, self.diagonal)
        return matrix

    def __matmul__(self, other: SymmetricTransition) -> SymmetricTransition:
        if not isinstance(other, SymmetricTransition):  # pyright: ignore[reportUnnecessaryIsInstance] # not at runtime
            return NotImplemented
        apart, other_apart = self.diagonal - self.off_diagonal, other.diagonal - other.off_diagonal
        off = (
            apart * other.off_diagonal
            + other_apart * self.off_diagonal
            + self.num_classes * self.off_diagonal * other.off_diagonal
        )
        return SymmetricTransition(self.num_classes, apart * other_apart + off, off)


@dataclass(frozen=True, eq=False)
class SimilarityTransition:
    """The matrix of similarity noise; its rows are computed when asked for.

    Attributes:
        directions: (K, D) prototypes of length one.
        rate: P(noisy ≠ clean).
        temperature: of the softmax over cosines.
    """

    directions: Floats
    rate: float
    temperature: float

    def __post_init__(self) -> None:
        directions = read_numbers(self.directions, "directions", kinds="f")
        if directions.ndim != 2 or 0 in directions.shape or not np.isfinite(directions).all():
            raise ValueError(f"`directions` must have shape (K, D) and be finite, got shape {directions.shape}")
        check_number(self.rate, "rate", minimum=0.0, maximum=1.0)
        check_number(self.temperature, "temperature", minimum=0.0, exclusive_minimum=True)

    @property
    def shape(self) -> tuple[int, int]:
        """(K, K)."""
        return len(self.directions), len(self.directions)

    def flips(self, first: int, stop: int) -> Floats:
        """(stop − first, K): P(noisy | clean, flipped) for these clean classes; zero where noisy = clean."""
        logits = self.directions[first:stop] @ self.directions.T / max(self.temperature, _SHARPEST)
        own = np.arange(stop - first)
        logits[own, np.arange(first, stop)] = -np.inf
        logits -= logits.max(axis=1, keepdims=True)
        np.exp(logits, out=logits)
        logits /= logits.sum(axis=1, keepdims=True)
        return logits

    def row(self, label: int) -> Floats:
        """(K,): P(noisy | clean = ``label``)."""
        row = self.rate * self.flips(label, label + 1)[0]
        row[label] = 1.0 - self.rate
        return row

    def toarray(self) -> Floats:
        """The dense (K, K) matrix: 8·K² bytes."""
        matrix = self.rate * self.flips(0, len(self.directions))
        np.fill_diagonal(matrix, 1.0 - self.rate)
        return matrix


def mapped_transition(target: npt.NDArray[np.intp], rate: float, *, dense: bool) -> Floats | Csr:
    """T_ii = 1 − rate and T_{i,target(i)} = rate; T_ii = 1 where target(i) = i."""
    count = len(target)
    every = np.arange(count)
    share = np.where(target == every, 0.0, rate)
    if dense:
        matrix = np.zeros((count, count))
        matrix[every, every] = 1.0 - share
        matrix[every, target] += share
        return matrix
    parts = (np.concatenate([1.0 - share, share]), (np.tile(every, 2), np.concatenate([every, target])))
    matrix = sparse.csr_array(parts, shape=(count, count))
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    return matrix


def restrict(transition: Any, classes: Sequence[int]) -> Any:
    """Set the rows of all but these classes to those of the identity; None if no compact form exists."""
    if not is_matrix(transition):
        return None
    inside = np.isin(np.arange(transition.shape[0]), classes)
    if isinstance(transition, np.ndarray):
        return np.where(inside[:, None], transition, np.eye(len(inside)))
    identity = sparse.diags_array((~inside).astype(np.float64))
    matrix = sparse.csr_array(sparse.diags_array(inside.astype(np.float64)) @ transition + identity)
    matrix.eliminate_zeros()
    return matrix


def product(first: Any, second: Any) -> Any:
    """``first @ second``; None if the product has no compact form."""
    if is_matrix(first) and is_matrix(second):
        result = first @ second
        return sparse.csr_array(result) if is_sparse(result) else result
    symmetric = isinstance(first, SymmetricTransition) and isinstance(second, SymmetricTransition)
    return first @ second if symmetric else None
