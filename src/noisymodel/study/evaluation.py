"""Numbers of features and heads on a test set."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..heads import Head
from ..subspace import IllDefinedSubspaceWarning, dominant_rotation, linear_cka
from .data import Examples, as_rows, batches


def accuracy(model: torch.nn.Module, examples: Examples, *, rows: bool = True) -> float:
    """The share of right predictions; where classes of the task answer to others, among those that answer at all."""
    right = 0
    start = 0
    answers = None if examples.answers is None else torch.from_numpy(examples.answers)
    with torch.inference_mode():
        for batch in batches(examples.inputs):
            logits = model(as_rows(batch) if rows else batch)
            labels = torch.from_numpy(examples.labels[start : start + len(batch)])
            if answers is None:
                predicted = logits.argmax(1)
            else:
                predicted = answers[logits.masked_fill(answers < 0, -torch.inf).argmax(1)]
            right += int((predicted == labels).sum())
            start += len(batch)
    return right / start


def tuned_features(head: Head, inputs: Any) -> Tensor | None:
    """The features that a head makes of its rows, ``None`` where it passes them on."""
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
    """How far the centred features of a test set are from those of the cleanly pre-trained network.

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
