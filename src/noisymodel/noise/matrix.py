"""Label noise from a matrix: any row-stochastic matrix, a confusion matrix, or similarities of classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .injection import Subset, begin
from .inputs import (
    Array,
    Floats,
    Labels,
    as_numpy,
    check_finite_rows,
    float_blocks,
    matrix_checksum,
    read_labels,
    read_matrix,
)
from .large_transitions import Csr
from .laws import confusion_law, inject, similarity_law, transition_law
from .result import NoisyLabels
from .selection import Selection, exact_rate
from .transitions import Convention, Empty

_RECORDED = 10_000  # a matrix of at most so many numbers is part of the audit


def from_transition(
    labels: Labels | NoisyLabels,
    matrix: object,
    *,
    convention: Convention = "row",
    selection: Selection = "exact",
    num_classes: int | None = None,
    subset: Subset | None = None,
    classes: Sequence[int] | None = None,
    seed: int,
) -> NoisyLabels:
    """Noise by any transition matrix: a label i becomes j with probability T[i, j] = P(noisy = j | clean = i).

    - ``selection="exact"`` and ``"exact_per_class"``: of the N_i samples of class i, N_i·T_ij become j, rounded by
      largest remainder so that every sample is counted once. In a tie of remainders, other classes come before the
      clean one (as with half-up rounding), and chance decides among those;
    - ``"bernoulli"``: each sample independently.

    A cell that is zero is never drawn.

    Args:
        labels: (N,) integers in [0, K), or earlier :class:`NoisyLabels`.
        matrix: (K, K) array, nested lists or ``scipy.sparse`` matrix; rows that sum to 1 ± 1e-6 are normalised.
        convention: ``"row"``, or ``"column"`` for matrices with T[j, i] = P(noisy = j | clean = i), whose columns sum
            to one (as in cleanlab). Required, because a matrix may fit both conventions.
        selection: see above.
        num_classes: must be K if given.
        subset: as in :func:`symmetric`.
        classes: as in :func:`symmetric`.
        seed: integer in [0, 2**63).

    Returns:
        :class:`NoisyLabels`; ``requested_rate`` is the expected rate under the labels' own class counts,
        Σ_i (N_i/N)·(1 − T_ii). ``transition`` has row convention; it is sparse where ``matrix`` is.

    Raises:
        TypeError: labels that are not integers, a matrix that is not of real numbers.
        ValueError: a matrix that is not square, has negative or non-finite cells, or rows that do not sum to one (if
            its columns do, the message says so); labels outside [0, K).

    >>> noisy = from_transition([0] * 10 + [1] * 10, [[0.8, 0.2], [0.0, 1.0]], seed=0)
    >>> int(noisy.flipped.sum()), round(noisy.requested_rate, 9)
    (2, 0.1)
    """
    law = transition_law(num_classes, None, matrix=matrix, convention=convention)
    table: Any = law.transition
    step = begin(labels, int(table.shape[0]), subset=subset, classes=classes, seed=seed)
    return inject(step, law, selection, "from_transition", {}, {"matrix": recorded_matrix(table)})


def recorded_matrix(matrix: Floats | Csr) -> dict[str, Any]:
    """The record of a matrix in an audit: its checksum, and its numbers if they are few."""
    dense = isinstance(matrix, np.ndarray)
    record: dict[str, Any] = {"shape": list(matrix.shape)}
    if dense:
        record["checksum"] = matrix_checksum(matrix)
    else:
        coordinates = matrix.tocoo()
        stacked = np.stack([coordinates.row, coordinates.col, coordinates.data], axis=1)
        record |= {"sparse": True, "checksum": matrix_checksum(stacked)}
    if dense and matrix.size <= _RECORDED:
        record["values"] = matrix.tolist()
    return record


def from_confusion(
    labels: Labels | NoisyLabels,
    counts: Array,
    rate: float | None = None,
    *,
    convention: Convention = "row",
    empty: Empty = "error",
    selection: Selection = "exact",
    num_classes: int | None = None,
    subset: Subset | None = None,
    classes: Sequence[int] | None = None,
    seed: int,
) -> NoisyLabels:
    """Noise from a confusion matrix: the mistakes of annotators or of a classifier.

    Without a rate, the mistakes are as frequent as in ``counts``, and the labels are drawn as in
    :func:`from_transition`. With a rate, a share ``rate`` is selected as in :func:`symmetric`, and a selected label of
    class i becomes j ≠ i with probability C_ij / Σ_{l≠i} C_il; the noise is then nested and portable too. See
    :func:`confusion_transition`.

    Args:
        labels: (N,) integers in [0, K), or earlier :class:`NoisyLabels`.
        counts: (K, K) non-negative; C[i, j] samples of clean class i were labelled j.
        rate: share of wrong labels in [0, 1], or None.
        convention: ``"column"``: C[j, i] in place of C[i, j].
        empty: what to do with a class without counts, or mistakes: ``"error"``, ``"uniform"`` or ``"keep"``.
        selection: as in :func:`from_transition`; with a rate as in :func:`symmetric`.
        num_classes: must be K where given.
        subset: as in :func:`symmetric`.
        classes: as in :func:`symmetric`.
        seed: integer in [0, 2**63).

    Returns:
        :class:`NoisyLabels`.

    Raises:
        TypeError: labels that are not integers, counts that are not real numbers.
        ValueError: as :func:`confusion_transition` and :func:`symmetric`.

    Source: Wei et al. 2022 (CIFAR-N, arXiv 2110.12088): synthetic noise with the matrix of the human labels.

    >>> counts = np.array([[8, 2], [0, 10]])
    >>> int(from_confusion([0] * 10 + [1] * 10, counts, seed=0).flipped.sum())
    2
    """
    share = None if rate is None else exact_rate(rate)
    law = confusion_law(num_classes, share, counts=counts, convention=convention, empty=empty)
    step = begin(labels, len(counts), subset=subset, classes=classes, seed=seed)
    given = as_numpy(counts).astype(np.float64)
    inputs = {"counts": recorded_matrix(given.T if convention == "column" else given)}
    parameters = {"empty": empty} if rate is not None else {"rate": None, "empty": empty}
    return inject(step, law, selection, "from_confusion", parameters, inputs)


def similarity(
    labels: Labels | NoisyLabels,
    rate: float,
    prototypes: Array,
    *,
    temperature: float = 1.0,
    selection: Selection = "exact",
    num_classes: int | None = None,
    subset: Subset | None = None,
    classes: Sequence[int] | None = None,
    seed: int,
) -> NoisyLabels:
    """Noise between classes that look alike: a selected label i becomes j ≠ i by softmax of cosine / temperature.

    T_ii = 1 − rate, T_ij = rate · softmax_{j≠i}(cos(p_i, p_j) / τ), see :func:`similarity_transition`. Prototypes are
    mean features (:func:`class_prototypes`), rows of a classifier, or embeddings of the classes' names. For counted
    mistakes use :func:`from_confusion`. The noise is nested and portable as in :func:`symmetric`.

    Args:
        labels: (N,) integers in [0, K), or earlier :class:`NoisyLabels`.
        rate: share of wrong labels, in [0, 1].
        prototypes: (K, D), no zero row.
        temperature: τ > 0; small is sharp.
        selection: as in :func:`symmetric`.
        num_classes: must be K where given.
        subset: as in :func:`symmetric`.
        classes: as in :func:`symmetric`.
        seed: integer in [0, 2**63).

    Returns:
        :class:`NoisyLabels`; above 4096 classes ``transition`` computes rows when asked.

    Raises:
        TypeError: labels that are not integers, prototypes that are not real numbers.
        ValueError: as :func:`similarity_transition` and :func:`symmetric`.

    >>> near = np.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]])
    >>> similarity([0, 1, 0, 1], 1.0, near, temperature=0.01, seed=0).labels
    array([1, 0, 1, 0])
    """
    law = similarity_law(num_classes, exact_rate(rate), prototypes=prototypes, temperature=temperature)
    step = begin(labels, len(prototypes), subset=subset, classes=classes, seed=seed)
    inputs = {"prototypes": recorded_matrix(as_numpy(prototypes).astype(np.float64))}
    return inject(step, law, selection, "similarity", {"temperature": float(temperature)}, inputs)


def class_prototypes(features: Array, labels: Labels, *, num_classes: int | None = None) -> Floats:
    """The mean feature of each class, as prototypes for :func:`similarity`.

    Args:
        features: (N, D), of any size: read a few rows at a time.
        labels: (N,) integers in [0, K), every class at least once.
        num_classes: K; ``None`` takes the largest label + 1.

    Returns:
        (K, D) float64.

    Raises:
        TypeError: labels that are not integers.
        ValueError: a class without samples, features not finite, mismatched lengths.

    >>> class_prototypes(np.array([[0.0, 2.0], [2.0, 0.0], [5.0, 5.0]]), [0, 0, 1])
    array([[1., 1.],
           [5., 5.]])
    """
    array, count = read_labels(labels, num_classes)
    rows = read_matrix(features, "features", array.size)
    sums = np.zeros((count, rows.shape[1]))
    for start, block in float_blocks(rows):
        check_finite_rows(block, "features", start)
        np.add.at(sums, array[start : start + len(block)].astype(np.intp), block)
    sizes = np.bincount(array.astype(np.intp), minlength=count)
    if not sizes.all():
        raise ValueError(f"`labels` must have samples of every class, got none of class {int(np.argmin(sizes > 0))}")
    return sums / sizes[:, None]
