"""The NMTune head and its loss in numpy float64, written from the paper and the published code's description."""

from __future__ import annotations

import numpy as np


def batch_norm(rows, weight, bias):
    """What BatchNorm1d computes in training: biased variance, epsilon 1e-5."""
    return (rows - rows.mean(0)) / np.sqrt(rows.var(0) + 1e-5) * weight + bias


def layer_norm(rows, weight, bias):
    centred = rows - rows.mean(1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(1, keepdims=True) + 1e-5) * weight + bias


def tune(features, state, *, depth, norm, residual):
    """Z of F, in training mode, without dropout; ``state`` is the head's state_dict as arrays."""
    indices = sorted({int(name.split(".")[2]) for name in state if name.startswith("network.layers.")})
    layers = [(state[f"network.layers.{i}.weight"], state[f"network.layers.{i}.bias"]) for i in indices]
    rows = features
    for _ in range(depth):
        weight, bias = layers.pop(0)
        rows = rows @ weight.T + bias
        if norm is not None:
            rows = {"batch": batch_norm, "layer": layer_norm}[norm](rows, *layers.pop(0))
        rows = np.maximum(rows, 0)
    weight, bias = layers.pop(0)
    assert not layers
    rows = rows @ weight.T + bias
    return state["network.scale"] * rows + features if residual else rows


def cross_entropy(logits, labels, smoothing=0.0):
    """Mean over rows of −Σ_k q_k log p_k, q = (1 − smoothing)·onehot + smoothing/K."""
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    q = np.full(logits.shape, smoothing / logits.shape[1])
    q[np.arange(len(labels)), labels] += 1 - smoothing
    return -(q * log_p).sum(1).mean()


def unit_rows(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def terms(features, tuned, *, top_k, reduction):
    """(consistency, covariance, dominant) by their definitions."""
    difference = (unit_rows(tuned) - unit_rows(features)) ** 2
    consistency = difference.mean() if reduction == "mean" else difference.sum(1).mean()
    covariance = np.cov(tuned, rowvar=False)
    off_diagonal = covariance - np.diag(np.diag(covariance))
    sigma = np.linalg.svd(tuned, compute_uv=False)
    return consistency, (off_diagonal**2).sum() / tuned.shape[1], -sigma[:top_k].mean() / sigma.sum()


PLAIN = {"normalize": None, "input_noise": 0.0, "residual": True, "reduction": "mean"}
"""Settings of a head whose terms are plain functions of its features: no scale is taken away, no noise drawn."""
PLAIN.update(dict.fromkeys(("consistency_weight", "covariance_weight", "dominant_weight"), 1.0))
