"""The result of a label-noise injector."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from scipy.sparse import csr_array

from .inputs import Array, Labels
from .large_transitions import SimilarityTransition, SymmetricTransition

Transition: TypeAlias = "Array | csr_array[Any] | SymmetricTransition | SimilarityTransition"
"""A transition matrix: dense up to ``large_transitions.DENSE_CLASSES`` classes, above sparse or row by row."""


@dataclass(frozen=True, eq=False)
class NoisyLabels:
    """Labels after noise, with their record.

    Pass it to an injector instead of labels to add more noise: the result keeps the same clean labels, its
    ``transition`` is the product of the matrices, and :meth:`audit` holds the earlier audit under ``"after"``.

    Attributes:
        labels: (N,) the noisy labels, of the dtype, device and kind (numpy or torch) of the clean ones.
        flipped: (N,) bool, True where the noisy label differs from the clean one.
        transition: (K, K) float64 row-stochastic matrix of the noise, T[i, j] = P(noisy = j | clean = i); None if the
            noise has no such matrix. It has the kind and device of ``labels``. Above 4096 classes it is a
            ``scipy.sparse.csr_array`` or an object with ``row(i)`` and ``toarray()``. With ``subset`` it is the matrix
            within the subset; with ``classes`` the rows of the other classes are those of the identity.
        requested_rate: the requested rate, in [0, 1]; in noise on noise that of the last step.
        realized_rate: ``flipped.mean()``, in [0, 1].
        seed: the seed of the draw.
        record: the dictionary of :meth:`audit`.
        clean: the clean labels, as they were given (not a copy).
    """

    labels: Array
    flipped: Array
    transition: Transition | None
    requested_rate: float
    realized_rate: float
    seed: int
    record: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)
    clean: Labels | None = field(default=None, repr=False)

    @property
    def subset_rate(self) -> float:
        """The share of wrong labels among the samples in ``subset`` and ``classes``; without these, among all samples.

        >>> from noisymodel.noise import symmetric
        >>> noisy = symmetric([0, 0, 0, 0, 1, 1, 1, 1], 0.5, classes=[1], seed=0)
        >>> noisy.subset_rate, noisy.realized_rate
        (0.5, 0.25)
        """
        subset = self.record.get("subset")
        return self.realized_rate if subset is None else float(subset["realized_rate"])

    def audit(self) -> dict[str, Any]:
        """The record of the noise as a dictionary for JSON, taken when the noise was drawn.

        Keys:

        - ``method``, ``parameters``, ``seed``: the call. ``inputs``: checksums of its other arrays besides the labels
          (features, matrix, ...);
        - ``requested_rate``, ``realized_rate``, and ``expected_rate``: the mean of the law (None where it has no
          closed form, as after other noise);
        - ``num_samples``, ``num_flipped``, ``class_counts`` and ``noisy_class_counts`` (length K),
          ``flipped_per_class`` (by clean class, length K);
        - ``clean_checksum`` and ``noisy_checksum``: SHA-256 of the labels as little-endian int64, so the same for
          every dtype and device;
        - ``subset``: None, or its ``size``, ``realized_rate``, and its ``classes`` or ``checksum``;
        - ``after``: the audit of the earlier noise, or None;
        - ``library`` and ``library_version``.

        :func:`verify` draws the noise again and compares.

        >>> from noisymodel.noise import symmetric
        >>> audit = symmetric([0, 1, 2, 0], 0.5, seed=1).audit()
        >>> audit["method"], audit["num_flipped"], audit["class_counts"]
        ('symmetric', 2, [2, 1, 1])
        """
        return copy.deepcopy(dict(self.record))
