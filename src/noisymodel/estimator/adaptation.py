"""Transductive predictions: a fitted classifier adapts to unlabelled rows of another domain."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
_SUPPORT = 20
_ROUNDS = 10
_SHARPNESS = 10.0


class Adapted(NamedTuple):
    """Class probabilities (N, K) of the classifier and of two transductive rules.

    ``unadapted``: the classifier's own. ``t3a``: from the cosine to class prototypes, which are means of the rows that
    the classifier is surest of (Iwasawa and Matsuo, 2021). ``clusters``: the classifier's times those of soft clusters,
    which start from its classes. ``classes``: (K,) the labels.
    """

    unadapted: Array
    t3a: Array
    clusters: Array
    classes: Array

    def labels(self) -> dict[str, Array]:
        """Rule -> labels (N,)."""
        return {name: self.classes[getattr(self, name).argmax(axis=1)] for name in ("unadapted", "t3a", "clusters")}

    def changed(self) -> dict[str, float]:
        """Rule -> the share of rows whose label differs from the classifier's own, in [0, 1]."""
        labels = self.labels()
        return {name: float((labels[name] != labels["unadapted"]).mean()) for name in ("t3a", "clusters")}


def adapted(logits: Array, tuned: Array, classes: Array) -> Adapted:
    """Apply both rules to Z (N, D) and logits (N, K), which for two classes have one column."""
    own = softmax(logits)
    centred = tuned - tuned.mean(axis=0)
    unit = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    return Adapted(own, _t3a(own, unit), _clusters(own, unit), classes)


def _t3a(own: Array, unit: Array) -> Array:
    """Cosine to the mean of each class's 20 rows of lowest entropy; for a class without rows, to the weighted mean."""
    entropy = -(own * np.log(np.maximum(own, 1e-300))).sum(axis=1)
    guessed = own.argmax(axis=1)
    prototypes = own.T @ unit
    for label in range(own.shape[1]):
        rows = np.flatnonzero(guessed == label)
        if len(rows):
            prototypes[label] = unit[rows[np.argsort(entropy[rows], kind="stable")[:_SUPPORT]]].mean(axis=0)
    return softmax(_SHARPNESS * unit @ _unit(prototypes).T)


def _clusters(own: Array, unit: Array) -> Array:
    """P ∝ p_own · exp(10 · cos(z, m_k)), m_k the mean of the rows weighted by p, in ten rounds."""
    found = own
    for _ in range(_ROUNDS):
        means = _unit(found.T @ unit)
        found = softmax(np.log(np.maximum(own, 1e-300)) + _SHARPNESS * unit @ means.T)
    return found


def _unit(rows: Array) -> Array:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def softmax(logits: Array) -> Array:
    """Class probabilities (N, K)."""
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)
