"""Noise in multi-label targets (0/1 matrices) and in soft labels (probabilities)."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .. import __version__
from .._checks import check_choice, check_seed
from .._random import array_generator
from .injection import Subset, read_classes, read_subset
from .inputs import (
    Array,
    Floats,
    Labels,
    Mask,
    as_numpy,
    check_probabilities,
    label_checksum,
    like,
    like_floats,
    matrix_checksum,
    read_labels,
    read_numbers,
)
from .large_transitions import Csr
from .result import NoisyLabels
from .selection import SELECTIONS, Selection, exact_rate, half_up, random_order, recorded_rate
from .transitions import Convention, read_transition

if TYPE_CHECKING:
    from .specification import LabelNoise, NoiseChain

_STREAM = 0x6D756C74  # "mult"


def multi_label(
    targets: Array,
    *,
    missing: float = 0.0,
    spurious: float = 0.0,
    selection: Selection = "exact",
    subset: Subset | None = None,
    classes: Sequence[int] | None = None,
    seed: int,
) -> NoisyLabels:
    """Noise in multi-label targets: positives go missing, negatives become positive.

    Each entry is a binary label: P(0 | 1) = ``missing``, P(1 | 0) = ``spurious``. The two rates are separate because
    annotators overlook more classes than they invent. Equal rates are symmetric noise; if positives are few, most
    wrong entries are then spurious. ``"exact"`` rounds the numbers of flipped ones and flipped zeros half up over the
    whole matrix, ``"exact_per_class"`` over each column; ``"bernoulli"`` flips each entry independently. The noise is
    nested in both rates.

    Args:
        targets: (N, K) of 0 and 1: bool, integers or floats.
        missing: share of the ones that become 0, in [0, 1].
        spurious: share of the zeros that become 1, in [0, 1].
        selection: see above.
        subset: (N,) bool mask, or indices, of the rows that may change; the rates then refer to these rows.
        classes: columns that may change; the rates then refer to these columns.
        seed: integer in [0, 2**63).

    Returns:
        :class:`NoisyLabels`: ``labels`` and ``flipped`` have the shape (N, K), ``transition`` is the (2, 2) matrix of
        one entry, and the rates are shares of all N·K entries.

    Raises:
        TypeError: targets that are not numbers.
        ValueError: targets that are not two-dimensional, or not 0 and 1; rates outside [0, 1].

    >>> noisy = multi_label(np.eye(4, dtype=int), missing=0.5, seed=0)
    >>> int(noisy.labels.sum()), noisy.realized_rate
    (2, 0.125)
    """
    clean = _binary(targets)
    check_choice(selection, "selection", SELECTIONS)
    seed = check_seed(seed)
    lost, added = exact_rate(missing, "missing"), exact_rate(spurious, "spurious")
    allowed = _allowed(clean.shape, subset, classes)
    ones = clean == 1
    flipped = np.zeros(clean.shape, dtype=np.bool_)
    for use, (share, where) in enumerate([(lost, ones & allowed), (added, ~ones & allowed)]):
        generator = array_generator(seed, _STREAM, use)
        columns = range(clean.shape[1]) if selection == "exact_per_class" else [slice(None)]
        for column in columns:
            flipped[:, column] |= _entries(where[:, column], share, selection, generator)
    noisy = np.where(flipped, 1 - clean.astype(np.int8), clean).astype(clean.dtype)
    matrix = np.array([[1 - float(added), float(added)], [float(lost), 1 - float(lost)]])
    requested = float((lost * int((ones & allowed).sum()) + added * int((~ones & allowed).sum())) / clean.size)
    record: dict[str, Any] = {
        "method": "multi_label",
        "parameters": {"missing": recorded_rate(lost), "spurious": recorded_rate(added), "selection": selection},
        "inputs": {},
        "seed": seed,
        "requested_rate": requested,
        "realized_rate": int(flipped.sum()) / clean.size,
        "num_samples": len(clean),
        "num_flipped": int(flipped.sum()),
        "num_missing": int((flipped & ones).sum()),
        "num_spurious": int((flipped & ~ones).sum()),
        "class_counts": ones.sum(axis=0).tolist(),
        "noisy_class_counts": (noisy == 1).sum(axis=0).tolist(),
        "clean_checksum": label_checksum(clean),
        "noisy_checksum": label_checksum(noisy),
        "subset": _subset_record(allowed, flipped, classes),
        "library": "noisymodel",
        "library_version": __version__,
    }
    arrays = (like(targets, noisy), like(targets, flipped), like(targets, matrix))
    return NoisyLabels(*arrays, requested, record["realized_rate"], seed, record, targets)


def _table(targets: object, kinds: str, expected: str) -> npt.NDArray[Any]:
    table = read_numbers(targets, "targets", kinds=kinds, expected=expected)
    if table.ndim != 2 or table.size == 0:
        raise ValueError(f"`targets` must have shape (N, K) with at least one entry, got shape {table.shape}")
    return table


def _binary(targets: Array) -> npt.NDArray[Any]:
    clean = _table(targets, "biuf", "0 and 1")
    wrong = (clean != 0) & (clean != 1)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise ValueError(f"`targets` must be 0 and 1, got {clean[row, column]} in row {row}, column {column}")
    return clean


def _allowed(shape: tuple[int, ...], subset: Subset | None, classes: Sequence[int] | None) -> Mask:
    allowed = np.ones(shape, dtype=np.bool_)
    if subset is not None:
        allowed &= read_subset(subset, shape[0])[:, None]
    if classes is not None:
        allowed &= np.isin(np.arange(shape[1]), read_classes(classes, shape[1]))
    if not allowed.any():
        raise ValueError("`subset` chooses none of the samples")
    return allowed


def _subset_record(allowed: Mask, flipped: Mask, classes: Sequence[int] | None) -> dict[str, Any] | None:
    if allowed.all():
        return None
    chosen = {} if classes is None else {"classes": [int(label) for label in classes]}
    rows = {"checksum": label_checksum(np.asarray(allowed.any(axis=1)))}
    return {"size": int(allowed.sum()), "realized_rate": int(flipped.sum()) / int(allowed.sum()), **rows, **chosen}


def _entries(where: Mask, share: Fraction, selection: str, generator: np.random.Generator) -> Mask:
    """Select the entries among ``where`` that flip."""
    if selection == "bernoulli":
        return where & (generator.random(where.shape) < float(share))
    places = np.flatnonzero(where)
    chosen = np.zeros(where.size, dtype=np.bool_)
    chosen[places[random_order(places.size, generator)[: half_up(share, places.size)]]] = True
    return chosen.reshape(where.shape)


def soft_label(targets: Array, noise: LabelNoise | NoiseChain, *, subset: Subset | None = None) -> NoisyLabels:
    """Noise in soft labels: the top class and the noisy class exchange their probabilities.

    ``noise`` is applied to the top class of each row. If it changes class i to class j, the entries i and j of the row
    are swapped. So a row stays a distribution with the same entropy, and one-hot rows get exactly the noise of hard
    labels. :func:`soften` computes the *expected* target instead, without randomness.

    Args:
        targets: (N, K) probabilities.
        noise: the label noise of the top classes; its ``num_classes`` must be K.
        subset: (N,) bool mask, or indices, of the rows that may change.

    Returns:
        :class:`NoisyLabels`: ``labels`` has the shape (N, K); ``flipped`` (N,) is True where the top class changed.
        The checksums in ``audit()`` are those of the top classes; ``"inputs"`` has those of the soft labels.

    Raises:
        TypeError: targets that are not floating point.
        ValueError: rows that are not probabilities.

    >>> from noisymodel.noise import LabelNoise
    >>> always = LabelNoise("pair_flip", 1.0, num_classes=3, seed=0)
    >>> soft_label(np.array([[0.7, 0.2, 0.1]]), always).labels
    array([[0.2, 0.7, 0.1]])
    """
    if not hasattr(noise, "at_many"):
        raise TypeError(f"`noise` must be a LabelNoise or a NoiseChain, got {type(noise).__name__}")
    clean = _probabilities(targets)
    if clean.shape[1] != noise.num_classes:
        raise ValueError(f"`targets` must have {noise.num_classes} columns, as `noise` has classes, got {clean.shape}")
    return with_top_classes(targets, noise.apply(clean.argmax(axis=1), subset=subset))


def with_top_classes(targets: Array, hard: NoisyLabels) -> NoisyLabels:
    """Apply the noise ``hard`` of the top classes to soft labels; this is the result of `soft_label`."""
    clean = _probabilities(targets)
    top = clean.argmax(axis=1)
    becomes = as_numpy(hard.labels).astype(np.intp)
    rows = np.arange(len(clean))
    noisy = clean.copy()
    noisy[rows, top], noisy[rows, becomes] = clean[rows, becomes], clean[rows, top]
    given = as_numpy(targets)
    record = dict(hard.record)
    checksums = {"clean": matrix_checksum(given), "noisy": matrix_checksum(noisy)}
    record["inputs"] = {**record["inputs"], "soft": {"shape": list(clean.shape), **checksums}}
    shown = like_floats(targets, noisy)
    matrix, flipped = like(targets, hard.transition), like(targets, as_numpy(hard.flipped))
    return NoisyLabels(shown, flipped, matrix, hard.requested_rate, hard.realized_rate, hard.seed, record, targets)


def _probabilities(targets: object) -> npt.NDArray[Any]:
    clean = _table(targets, "f", "floating-point probabilities")
    check_probabilities(clean, "targets")
    return clean


def soften(targets: Array | Labels, matrix: object, *, convention: Convention = "row") -> Array:
    """The expected target under label noise: one-hot or soft labels, times the transition matrix.

    P → P·T is the *average* noisy label; nothing is drawn. With ``symmetric_transition(K, r, include_true=True)`` it
    is label smoothing by r.

    Args:
        targets: (N,) integers in [0, K), or (N, K) probabilities.
        matrix: (K, K) transition matrix, as in :func:`from_transition`.
        convention: as in :func:`from_transition`.

    Returns:
        (N, K) probabilities of the same kind and on the same device as ``targets``; soft targets keep their dtype,
        integer labels give float32.

    Raises:
        TypeError: targets that are neither integers nor floating point.
        ValueError: labels outside [0, K), rows that are not probabilities, a matrix that is not stochastic.

    >>> from noisymodel.noise import symmetric_transition
    >>> soften([0, 1], symmetric_transition(2, 0.2, include_true=True))
    array([[0.9, 0.1],
           [0.1, 0.9]], dtype=float32)
    """
    table: Floats | Csr = read_transition(matrix, convention)
    array = read_numbers(targets, "targets", expected="class indices or probabilities")
    if array.ndim == 1:
        return like(targets, _expected_rows(array, table))
    clean = _probabilities(targets)
    if clean.shape[1] != table.shape[0]:
        raise ValueError(f"`targets` must have {table.shape[0]} columns, as `matrix` has classes, got {clean.shape}")
    return like_floats(targets, np.asarray(clean.astype(np.float64) @ table).astype(clean.dtype))


def _expected_rows(labels: npt.NDArray[Any], table: Floats | Csr) -> npt.NDArray[np.float32]:
    index = read_labels(labels, table.shape[0])[0].astype(np.intp)
    rows = table[index]
    return (rows if isinstance(rows, np.ndarray) else rows.toarray()).astype(np.float32)
