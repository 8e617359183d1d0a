"""What the noise of a pre-training really was: drawn again and counted."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..pretraining import PretrainingRequest
from ..pretraining.corruption import caption_noise, label_noise, token_noise

_DENSE_CLASSES = 256

Integers = NDArray[np.int64]


def noise_audit(request: PretrainingRequest, rate: float) -> dict[str, Any]:
    """What was wrong in the examples of a network, JSON-ready.

    Keys: ``objective``, ``noise_kind``, ``seed``, ``requested_rate``, ``realized_rate`` (share of the labels, pairs or
    words that are wrong), ``num_samples`` (of them), ``num_changed``; by class of the clean label ``class_counts`` and
    ``changed_per_class``; checksums of what was clean and of what was learned from (SHA-256 of little-endian int64).
    Labels and captions besides have ``transition_counts``: entry [i][j] is how many examples of class i have a label,
    or a caption, of class j (rows [i, j, count] off the diagonal where there are more than 256 classes). ``injector``
    is the audit of the noise function itself, where it gives one.
    """
    counted = {"supervised": _labels, "contrastive": _captions, "masked_token": _tokens}[request.objective]
    return {
        "objective": request.objective,
        "noise_kind": request.noise_kind,
        "seed": request.seed,
        "requested_rate": rate,
        **counted(request, rate),
    }


def _labels(request: PretrainingRequest, rate: float) -> dict[str, Any]:
    clean, noisy = request.examples.labels, label_noise(request, rate)
    given = np.asarray(noisy.labels, dtype=np.int64)
    return {
        **_counts(clean, given != clean, request.classes),
        "noisy_class_counts": np.bincount(given, minlength=request.classes).tolist(),
        "transition_counts": _transitions(clean, given, request.classes),
        **_checksums(clean, given),
        "injector": noisy.audit(),
    }


def _captions(request: PretrainingRequest, rate: float) -> dict[str, Any]:
    """Classes are those of the labels that the pictures have, though nothing was trained on them."""
    labels, pairs = request.examples.labels, caption_noise(request, rate)
    permutation = np.asarray(pairs.permutation)
    captions = np.asarray(request.examples.captions)
    return {
        **_counts(labels, np.asarray(pairs.mismatched), request.classes),
        "other_class_rate": float((labels[permutation] != labels).mean()),
        "transition_counts": _transitions(labels, labels[permutation], request.classes),
        **_checksums(captions, captions[permutation]),
        "injector": pairs.audit(),
    }


def _tokens(request: PretrainingRequest, rate: float) -> dict[str, Any]:
    """Samples are the words that noise may change."""
    clean, noisy = np.asarray(request.examples.inputs), token_noise(request, rate)
    changed = np.asarray(noisy.changed)
    labels = np.broadcast_to(request.examples.labels[:, None], clean.shape)[clean != 0]
    return {
        **_counts(labels, changed[clean != 0], request.classes),
        "num_texts": len(clean),
        "num_texts_changed": int(changed.any(1).sum()),
        **_checksums(clean, np.asarray(noisy.tokens, dtype=np.int64)),
    }


def _counts(labels: Integers, changed: NDArray[np.bool_], classes: int) -> dict[str, Any]:
    return {
        "realized_rate": float(changed.mean()),
        "num_samples": len(labels),
        "num_changed": int(changed.sum()),
        "class_counts": np.bincount(labels, minlength=classes).tolist(),
        "changed_per_class": np.bincount(labels[changed], minlength=classes).tolist(),
    }


def _transitions(clean: Integers, given: Integers, classes: int) -> list[list[int]]:
    if classes <= _DENSE_CLASSES:
        counts = np.zeros((classes, classes), dtype=np.int64)
        np.add.at(counts, (clean, given), 1)
        return counts.tolist()
    wrong = np.stack([clean, given], 1)[clean != given]
    pairs, numbers = np.unique(wrong, axis=0, return_counts=True)
    return np.concatenate([pairs, numbers[:, None]], 1).tolist()


def _checksums(clean: Integers, given: Integers) -> dict[str, str]:
    names = zip(("clean_checksum", "noisy_checksum"), (clean, given), strict=True)
    return {name: hashlib.sha256(np.ascontiguousarray(values, "<i8").tobytes()).hexdigest() for name, values in names}
