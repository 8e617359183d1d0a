"""Neighbours of NMTune as their papers write them (or as this library defines them), naive and in float64."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


def batch_spectral_shrinkage(z: Matrix, num_smallest: int) -> float:
    values = sorted(np.linalg.svd(z, compute_uv=False))
    return sum(value**2 for value in values[:num_smallest])


def batch_spectral_shrinkage_gradient(z: Matrix, num_smallest: int) -> Matrix:
    u, values, vh = np.linalg.svd(z, full_matrices=False)
    last = len(values) - num_smallest
    return sum(2 * values[i] * np.outer(u[:, i], vh[i]) for i in range(last, len(values)))


def l2_sp(parameters: dict[str, Matrix], start: dict[str, Matrix], alpha: float, beta: float) -> float:
    total = 0.0
    for name, values in parameters.items():
        for index, value in np.ndenumerate(values):
            total += alpha / 2 * (value - start[name][index]) ** 2 if name in start else beta / 2 * value**2
    return total


def embedding_distortion(z: Matrix, f: Matrix, distance: str) -> float:
    if distance == "squared":
        return sum(sum((a - b) ** 2) for a, b in zip(z, f, strict=True)) / len(z)
    return sum(1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in zip(z, f, strict=True)) / len(z)


def softmax_gradient(row: Matrix, weight: Matrix, bias: Matrix, target: int) -> Matrix:
    """∇_f of the cross-entropy of a linear classifier: Wᵀ(p − e_y)."""
    logits = weight @ row + bias
    p = np.exp(logits) / sum(np.exp(logits))
    return weight.T @ (p - np.eye(len(bias))[target])


def local_gradient_matching(f: Matrix, moved: Matrix, weight: Matrix, bias: Matrix, targets: list[int]) -> float:
    """Of a linear classifier."""
    distances = [
        sum((softmax_gradient(a, weight, bias, y) - softmax_gradient(b, weight, bias, y)) ** 2)
        for a, b, y in zip(f, moved, targets, strict=True)
    ]
    return sum(distances) / len(f)


def shrunk_covariance(f: Matrix, shrinkage: float) -> Matrix:
    mean = sum(f) / len(f)
    c = sum(np.outer(row - mean, row - mean) for row in f) / (len(f) - 1)
    return (1 - shrinkage) * c + shrinkage * np.trace(c) / len(c) * np.eye(len(c))
