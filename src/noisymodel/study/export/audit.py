"""The audit of a pre-training's noise: it is drawn again and counted."""

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
    """The audit of the noise in a network's examples, JSON-ready.

    Keys: ``objective``, ``noise_kind``, ``seed``, ``requested_rate``, ``realized_rate`` (the share of wrong labels,
    pairs or words), ``num_samples`` (their number), ``num_changed``; by clean class ``class_counts`` and
    ``changed_per_class``; and checksums of the clean and of the noisy data (SHA-256 of little-endian int64). For labels
    and captions ``transition_counts`` is added: entry [i][j] is the number of examples of class i with a label, or a
    caption, of class j (above 256 classes, rows [i, j, count] off the diagonal). ``injector`` is the audit of the noise
    function itself, if it has one.
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
    """The audit of captions, by the classes of the pictures' labels, although training did not use these labels."""
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
    """The audit of tokens; the samples are the words that noise may change."""
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
