"""Scores of class probabilities beyond accuracy."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score, f1_score

_BINS = 15


class Scores(NamedTuple):
    """Scores of class probabilities, all but the first two in [0, 1] and better when larger.

    ``log_loss``: the mean of −log p of the right class, ≥ 0. ``calibration_error``: Σ_b n_b/N
    |accuracy_b − confidence_b| over 15 equal bins of the largest probability, in [0, 1]. ``macro_f1``: the mean F1
    over the classes. ``balanced_accuracy``: the mean recall over the classes. ``average_precision``: the mean area
    under the precision–recall curve over the classes. Only classes that the rows have count in these means.
    """

    log_loss: float
    calibration_error: float
    macro_f1: float
    balanced_accuracy: float
    average_precision: float


def scores(probabilities: npt.NDArray[Any], ids: npt.NDArray[np.int64]) -> Scores:
    """Scores of probabilities (N, K) for class ids (N,).

    Source: Guo et al. (2017) for the calibration error; scikit-learn for the rest.

    >>> scores(np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([0, 1])).macro_f1
    1.0
    """
    guessed, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    right = guessed == ids
    loss = -np.log(np.maximum(probabilities[np.arange(len(ids)), ids], 1e-15)).mean()
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    gaps = np.bincount(bins, weights=right - confidence, minlength=_BINS)
    present = np.unique(ids)
    precision = [average_precision_score(ids == label, probabilities[:, label]) for label in present]
    return Scores(
        float(loss),
        float(np.abs(gaps).sum() / len(ids)),
        float(
            f1_score(
                ids,
                guessed,
                labels=present,
                average="macro",
                zero_division=0.0,  # pyright: ignore[reportArgumentType] - its stubs know only "warn"
            )
        ),
        float(np.mean([right[ids == label].mean() for label in present])),
        float(np.mean(precision)),
    )
