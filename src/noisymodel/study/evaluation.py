"""Measures of features and heads on a test set."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..heads import Head, KernelProbe
from ..subspace import IllDefinedSubspaceWarning, dominant_rotation, linear_cka
from .data import Examples, as_rows, batches
from .part_cache import Curve
from .rows import CLEAN_SHIFT

_BINS = 15
"""The number of bins of the calibration error, of equal width."""
_SMALLEST = 1e-12
"""Smaller probabilities count as this one in the log-loss."""

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def accuracy(model: torch.nn.Module, examples: Examples) -> float:
    """The share of right predictions; with a mapping of the task's classes, only mapped classes can be predicted."""
    return float((_answered(_logits(model, examples), examples) == examples.labels).mean())


def scores(model: torch.nn.Module, examples: Examples) -> dict[str, float]:
    """Scores of predictions and probabilities.

    ``accuracy``; ``balanced_accuracy``, the mean over the classes of the share found; ``macro_f1``;
    ``average_precision``, the mean over the classes; ``log_loss``, natural logarithm; ``calibration_error``, 15 bins of
    equal width. Means are over the classes among the labels. If several classes of the task map to one class of the
    test set, their probabilities are summed; unmapped classes have none.
    """
    logits = _logits(model, examples)
    answered, labels = _answered(logits, examples), examples.labels
    shown = _probabilities(logits, examples)
    classes = np.unique(labels)
    claimed = np.array([np.sum(answered == one) for one in classes])
    found = np.array([np.sum((answered == one) & (labels == one)) for one in classes])
    held = np.array([np.sum(labels == one) for one in classes])
    own = shown[np.arange(len(labels)), labels]
    return {
        "accuracy": float((answered == labels).mean()),
        "balanced_accuracy": float((found / held).mean()),
        "macro_f1": float((2 * found / (claimed + held)).mean()),
        "average_precision": float(np.mean([_average_precision(shown[:, one], labels == one) for one in classes])),
        "log_loss": float(-np.log(np.maximum(own, _SMALLEST)).mean()),
        "calibration_error": _calibration_error(shown.max(1), shown.argmax(1) == labels),
    }


def _logits(model: torch.nn.Module, examples: Examples) -> Tensor:
    with torch.inference_mode():
        return torch.cat([model(as_rows(batch)) for batch in batches(examples.inputs)])


def _answered(logits: Tensor, examples: Examples) -> Integers:
    if examples.answers is None:
        return logits.argmax(1).numpy()
    valid = torch.from_numpy(examples.answers < 0)
    return examples.answers[logits.masked_fill(valid, -torch.inf).argmax(1).numpy()]


def _probabilities(logits: Tensor, examples: Examples) -> Floats:
    """``(n, classes of the labels)``."""
    if examples.answers is None:
        return torch.softmax(logits.double(), 1).numpy()
    answers = examples.answers
    valid = np.flatnonzero(answers >= 0)
    own = torch.softmax(logits.double()[:, torch.from_numpy(valid)], 1).numpy()
    summed = np.zeros((max(int(answers.max()), int(examples.labels.max())) + 1, len(own)))
    np.add.at(summed, answers[valid], own.T)
    return summed.T


def _average_precision(scored: Floats, right: NDArray[np.bool_]) -> float:
    """Σ (R_k − R_{k−1}) P_k over the thresholds, ties together."""
    order = np.argsort(-scored, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scored[order])), len(scored) - 1)
    hits = np.cumsum(right[order])[ends]
    return float(np.sum(np.diff(hits, prepend=0) * hits / (ends + 1)) / hits[-1])


def _calibration_error(confidence: Floats, right: NDArray[np.bool_]) -> float:
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    apart = np.bincount(bins, confidence, _BINS) - np.bincount(bins, right, _BINS)
    return float(np.abs(apart).sum() / len(confidence))


def tuned_features(head: Head | KernelProbe, inputs: Any) -> Tensor | None:
    """The tuned features of a head, or ``None`` if it passes its inputs on."""
    parts: list[Tensor] = []
    with torch.inference_mode():
        for batch in batches(inputs):
            rows = as_rows(batch)
            tuned = head.tune(rows)
            if tuned is rows:
                return None
            parts.append(tuned)
    return torch.cat(parts)


def against_clean(features: Tensor, clean: Tensor, classes: int) -> dict[str, float]:
    """The distance of a test set's centred features from those of the cleanly pre-trained network.

    ``subspace_rotation`` in degrees, of the ``classes − 1`` dominant directions, fewer where the rank is smaller.
    """
    ours, theirs = (part.double() - part.double().mean(0) for part in (features, clean))
    ranks = [int(torch.linalg.matrix_rank(part, rtol=1e-6)) for part in (ours, theirs)]
    directions = min(classes - 1, *ranks)
    if directions < 1:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IllDefinedSubspaceWarning)
        rotation = float(np.degrees(dominant_rotation(ours, theirs, k=directions)))
    return {"subspace_rotation": rotation, "linear_cka": linear_cka(ours, theirs)}


class CurveRecorder:
    """A callback after each epoch that appends the loss and the accuracies on the test sets to ``curves``.

    Args:
        rate: the noise rate of the network.
        tests: shift -> test set, its inputs as the head sees them.
    """

    def __init__(self, rate: float, tests: Mapping[str, Examples]) -> None:
        self.curves: list[Curve] = []
        self._rate, self._tests = rate, tests

    def __call__(self, head: Head, epoch: Mapping[str, float]) -> None:
        """Record one epoch; the head does not change."""
        at = int(epoch["epoch"])
        self.curves.append((self._rate, CLEAN_SHIFT, "training_loss", epoch["train_total"], at))
        for shift, test in self._tests.items():
            self.curves.append((self._rate, shift, "accuracy", accuracy(head, test), at))
