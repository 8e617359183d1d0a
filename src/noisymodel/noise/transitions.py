"""Transition matrices of label noise: T[i, j] = P(noisy = j | clean = i), so every row sums to one."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, cast

import numpy as np
import numpy.typing as npt
from scipy import sparse

from .._checks import check_choice, check_flag, check_number
from .inputs import Array, Floats, read_class_count, read_numbers
from .large_transitions import Csr, SimilarityTransition, SymmetricTransition, is_sparse, mapped_transition
from .mappings import ClassMapping, mapping_targets, read_mapping

Convention: TypeAlias = Literal["row", "column"]
Empty: TypeAlias = Literal["error", "uniform", "keep"]

CONVENTIONS = ("row", "column")
EMPTY = ("error", "uniform", "keep")
_CELLS = {
    "row": "matrix[i, j] = P(noisy = j | clean = i)",
    "column": "matrix[j, i] = P(noisy = j | clean = i), as cleanlab's",
}
_MOST_DENSE = 1 << 16  # a matrix of 32 GiB
_TOLERANCE = 1e-6  # of the sum of a row
_SMALLEST = 1e-150  # the squares of shorter lengths underflow
_EXACT = 1e-12  # rows whose sums are this close to one are not normalised


def symmetric_transition(num_classes: int, rate: float, include_true: bool = False) -> npt.NDArray[np.float64]:
    """The matrix of symmetric (uniform) label noise; the literature uses the name for two different laws.

    - ``include_true=False``, *exclusive*: a label flips to one of the K − 1 **other** classes.
      T_ii = 1 − r, T_ij = r / (K − 1). The share of wrong labels is r.
    - ``include_true=True``, *inclusive*: a label is drawn anew from all K classes, including its own.
      T_ii = 1 − r + r/K, T_ij = r/K. The share of wrong labels is only r·(K − 1)/K: "50 %" on ten classes is 45 %.

    The two are one family: inclusive(r) = exclusive(r·(K − 1)/K).

    Args:
        num_classes: K, at least 2 (at least 1 with ``include_true``).
        rate: r in [0, 1].
        include_true: whether the true class is among those drawn from.

    Returns:
        float64 array (K, K); row = clean class, column = noisy class (transpose it for the column convention).

    Raises:
        ValueError: ``rate`` outside [0, 1] or NaN, or no other class to flip to.

    Sources: exclusive as in Patrini et al. 2017 (arXiv 1609.03683) and Han et al. 2018 (Co-teaching, arXiv
    1804.06872); inclusive as in Li et al. 2020 (DivideMix, arXiv 2002.07394).

    >>> symmetric_transition(3, 0.4)
    array([[0.6, 0.2, 0.2],
           [0.2, 0.6, 0.2],
           [0.2, 0.2, 0.6]])
    >>> round(float(symmetric_transition(10, 0.5, include_true=True)[0, 0]), 9)
    0.55
    """
    cells = symmetric_cells(num_classes, rate, include_true)
    _check_dense(num_classes)
    return SymmetricTransition(num_classes, *cells).toarray()


def _check_dense(num_classes: int) -> None:
    if num_classes > _MOST_DENSE:
        raise ValueError(
            f"`num_classes` must be at most {_MOST_DENSE} for a dense matrix, got {num_classes}: as_sparse=True where "
            "the function has it, or SymmetricTransition"
        )


def symmetric_cells(num_classes: int, rate: float, include_true: bool) -> tuple[float, float]:
    """T_ii and T_ij of symmetric noise."""
    check_flag(include_true, "include_true")
    classes = read_class_count(num_classes)
    share = check_number(rate, "rate", minimum=0.0, maximum=1.0)
    if classes == 1 and not include_true:
        raise ValueError(
            "`num_classes` must be at least 2, got 1: there is no other class to flip to (include_true=True allows 1)"
        )
    off_diagonal = share / classes if include_true else share / (classes - 1)
    return (1.0 - share + off_diagonal if include_true else 1.0 - share), off_diagonal


def pair_transition(num_classes: int, rate: float, *, as_sparse: bool = False) -> Floats | Csr:
    """The matrix of pair noise: T_ii = 1 − r, T_{i,(i+1) mod K} = r.

    Args:
        num_classes: K, at least 2.
        rate: r in [0, 1].
        as_sparse: a ``scipy.sparse.csr_array`` of 2·K numbers in place of K².

    Returns:
        float64 (K, K), row = clean class.

    Raises:
        ValueError: ``rate`` outside [0, 1], or K < 2.

    Source: Han et al. 2018 (Co-teaching, arXiv 1804.06872).

    >>> pair_transition(3, 0.25)
    array([[0.75, 0.25, 0.  ],
           [0.  , 0.75, 0.25],
           [0.25, 0.  , 0.75]])
    """
    target = np.roll(np.arange(read_class_count(num_classes, minimum=2)), -1)
    return _mapped(target, rate, as_sparse)


def _mapped(target: npt.NDArray[np.intp], rate: float, as_sparse: bool) -> Floats | Csr:
    share = check_number(rate, "rate", minimum=0.0, maximum=1.0)
    if not check_flag(as_sparse, "as_sparse"):
        _check_dense(len(target))
    return mapped_transition(target, share, dense=not as_sparse)


def asymmetric_transition(
    num_classes: int | None, rate: float, mapping: ClassMapping, *, as_sparse: bool = False
) -> Floats | Csr:
    """The matrix of asymmetric noise: T_ii = 1 − r, T_{i,m(i)} = r for mapped classes, T_ii = 1 for the others.

    Args:
        num_classes: K; ``None`` takes the named mapping's, or the fewest classes that hold the dictionary's.
        rate: r in [0, 1].
        mapping: as in :func:`asymmetric`: a name, or a dictionary {clean class: noisy class}.
        as_sparse: a ``scipy.sparse.csr_array`` of at most 2·K numbers in place of K².

    Returns:
        float64 (K, K), row = clean class.

    Raises:
        ValueError: ``rate`` outside [0, 1], an unknown name, or a class outside [0, K).

    Source: Patrini et al. 2017 (arXiv 1609.03683).

    >>> asymmetric_transition(3, 0.5, {2: 0})
    array([[1. , 0. , 0. ],
           [0. , 1. , 0. ],
           [0.5, 0. , 0.5]])
    """
    _, needed = read_mapping(mapping)
    classes = needed if num_classes is None else read_class_count(num_classes)
    return _mapped(mapping_targets(mapping, classes), rate, as_sparse)


def similarity_transition(prototypes: Array, rate: float, temperature: float = 1.0) -> Floats:
    """The matrix of similarity noise: T_ii = 1 − r, T_ij = r · softmax_{j≠i}(cos(p_i, p_j) / τ).

    A class flips to classes with prototypes in a similar direction: for τ → ∞ to all other classes alike (exclusive
    symmetric noise), for τ → 0⁺ to the nearest class alone. Prototypes may be mean features of the classes
    (:func:`class_prototypes`), the rows of a
    classifier or embeddings of the classes' names. There is no canonical source for this noise; the definition is ours.

    Args:
        prototypes: (K, D), K at least 2, no zero row.
        rate: r in [0, 1].
        temperature: τ > 0; cosines lie in [−1, 1], so 1 is close to uniform and 0.05 is sharp.

    Returns:
        float64 array (K, K), row = clean class.

    Raises:
        ValueError: ``rate`` outside [0, 1], ``temperature`` ≤ 0, prototypes not finite or of length zero.

    >>> similarity_transition(np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), 0.5, temperature=0.1).round(3)
    array([[0.5 , 0.5 , 0.  ],
           [0.5 , 0.5 , 0.  ],
           [0.25, 0.25, 0.5 ]])
    """
    return similarity_rows(prototypes, rate, temperature).toarray()


def similarity_rows(prototypes: Array, rate: float, temperature: float) -> SimilarityTransition:
    """Check the prototypes, and return the matrix whose rows are computed on demand."""
    share = check_number(rate, "rate", minimum=0.0, maximum=1.0)
    degree = check_number(temperature, "temperature", minimum=0.0, exclusive_minimum=True)
    points = read_numbers(prototypes, "prototypes", expected="real numbers")
    if points.ndim != 2 or len(points) < 2 or points.shape[1] == 0:
        raise ValueError(f"`prototypes` must have shape (K, D) with at least two classes, got {points.shape}")
    points = points.astype(np.float64)
    with np.errstate(over="ignore", under="ignore"):
        length = np.linalg.norm(points, axis=1, keepdims=True)
    if not ((length > _SMALLEST) & (length < 1 / _SMALLEST)).all() and np.isfinite(points).all():
        largest = np.abs(points).max(axis=1, keepdims=True)  # prevents overflow and underflow of squares
        points = points / np.where(largest > 0, largest, 1.0)
        length = np.linalg.norm(points, axis=1, keepdims=True)
    if not np.isfinite(length).all() or (length == 0).any():
        bad = int(np.argmax(~np.isfinite(length[:, 0]) | (length[:, 0] == 0)))
        raise ValueError(f"`prototypes` must be finite and not zero, got {points[bad]} for class {bad}")
    return SimilarityTransition(points / length, share, degree)


def confusion_transition(
    counts: Array, rate: float | None = None, *, convention: Convention = "row", empty: Empty = "error"
) -> Floats:
    """The transition matrix of the mistakes of annotators (CIFAR-N) or of a classifier.

    - ``rate=None``: T_ij = C_ij / Σ_l C_il; mistakes are as frequent as in ``counts``;
    - with a rate r: T_ii = 1 − r, T_ij = r · C_ij / Σ_{l≠i} C_il; mistakes have the same targets, at the rate r.

    Args:
        counts: (K, K) non-negative counts or shares: C[i, j] samples of clean class i were labelled j, as in
            scikit-learn's ``confusion_matrix(clean, labelled)``.
        rate: r in [0, 1], or None.
        convention: ``"column"``: C[j, i] in place of C[i, j].
        empty: the treatment of a class without counts (with a rate: without mistakes). ``"error"`` raises,
            ``"uniform"`` gives all classes (with a rate: all other classes) equal probability, ``"keep"`` never flips
            the class.

    Returns:
        float64 array (K, K), row = clean class.

    Raises:
        ValueError: counts not square, negative or not finite; an empty class; ``rate`` outside [0, 1].

    Source: Wei et al. 2022 (CIFAR-N, arXiv 2110.12088) compare human noise with noise drawn from its matrix.

    >>> confusion_transition(np.array([[8, 2, 0], [3, 6, 1], [0, 0, 5]]))
    array([[0.8, 0.2, 0. ],
           [0.3, 0.6, 0.1],
           [0. , 0. , 1. ]])
    >>> confusion_transition(np.array([[8, 2, 0], [3, 6, 1], [0, 0, 5]]), 0.4, empty="uniform").round(3)
    array([[0.6, 0.4, 0. ],
           [0.3, 0.6, 0.1],
           [0.2, 0.2, 0.6]])
    """
    if rate is None:
        return confusion_rows(counts, convention, empty, mistakes_only=False)
    share = check_number(rate, "rate", minimum=0.0, maximum=1.0)
    return share * confusion_rows(counts, convention, empty, mistakes_only=True) + (1.0 - share) * np.eye(len(counts))


def confusion_rows(counts: Array, convention: str, empty: str, *, mistakes_only: bool) -> Floats:
    """The shares of each row of counts, or P(noisy | clean, flipped), where an empty row may keep its class."""
    check_choice(empty, "empty", EMPTY)
    matrix = cast("Floats", _square(read_numbers(counts, "counts", expected="real numbers"), "counts", convention))
    if mistakes_only:
        np.fill_diagonal(matrix, 0.0)
    without = np.flatnonzero(matrix.sum(axis=1) == 0)
    if without.size and empty == "error":
        what = "mistakes" if mistakes_only else "counts"
        raise ValueError(f'`counts` have no {what} of class {without[0]}: `empty` can be "uniform" or "keep" for it')
    if empty == "uniform":
        matrix[without] = 1.0
        if mistakes_only:
            matrix[without, without] = 0.0
    matrix[without, without] += empty == "keep"
    return matrix / matrix.sum(axis=1, keepdims=True)


def read_transition(matrix: object, convention: str) -> Floats | Csr:
    """Read a row-stochastic matrix: a float64 array, or for sparse input CSR with sorted indices, no stored zeros."""
    rows: Any = _square(matrix, "matrix", convention)
    sums = np.asarray(rows.sum(axis=1)).reshape(-1)
    off = np.abs(sums - 1.0)
    if off.max() > _TOLERANCE:
        if (np.abs(np.asarray(rows.sum(axis=0)).reshape(-1) - 1.0) <= _TOLERANCE).all():
            other = "column" if convention == "row" else "row"
            raise ValueError(
                f"`matrix` has {other}s that sum to 1 and {convention}s that do not: it is of the {other} convention, "
                f'{_CELLS[other]}; pass convention="{other}"'
            )
        bad = int(np.argmax(off > _TOLERANCE))
        raise ValueError(f"`matrix` must have {convention}s that sum to 1, got {sums[bad]:.9g} for clean class {bad}")
    if off.max() <= _EXACT:
        return rows
    return _own_csr(sparse.diags_array(1.0 / sums) @ rows) if is_sparse(rows) else rows / sums[:, None]


def _square(matrix: object, name: str, convention: str) -> Floats | Csr:
    """A copy of the matrix in float64 with clean classes as rows; it must be square, finite and non-negative."""
    check_choice(convention, "convention", CONVENTIONS)
    given: Any = matrix if sparse.issparse(matrix) else read_numbers(matrix, name, expected="real numbers")
    if given.ndim != 2 or given.shape[0] != given.shape[1] or given.shape[0] == 0:
        raise ValueError(f"`{name}` must be square, got shape {tuple(given.shape)}")
    if given.dtype.kind not in "iuf":
        raise TypeError(f"`{name}` must be real numbers, got {given.dtype}")
    if convention == "column":
        given = given.T
    rows: Any = np.array(given, dtype=np.float64) if isinstance(given, np.ndarray) else _own_csr(given)
    values = rows if isinstance(rows, np.ndarray) else rows.data
    if not np.isfinite(values).all() or (values < 0).any():
        raise ValueError(
            f"`{name}` must be finite and not negative, got {values[~(values >= 0) | np.isinf(values)][0]}"
        )
    return rows


def _own_csr(matrix: Any) -> Csr:
    """A copy in CSR with sorted indices and no stored zeros."""
    rows = sparse.csr_array(matrix.astype(np.float64), copy=True)
    rows.sum_duplicates()
    rows.eliminate_zeros()
    return rows
