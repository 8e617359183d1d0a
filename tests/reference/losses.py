"""The regularizers as the paper writes them, naive and in float64; gradients from the singular value decomposition."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


def covariance_matrix(z: Matrix) -> Matrix:
    mean = sum(z) / len(z)
    return sum(np.outer(row - mean, row - mean) for row in z) / (len(z) - 1)


def covariance(z: Matrix) -> float:
    c, d = covariance_matrix(z), z.shape[1]
    return sum(c[i, j] ** 2 for i in range(d) for j in range(d) if i != j) / d


def covariance_gradient(z: Matrix) -> Matrix:
    off_diagonal = covariance_matrix(z) * (1 - np.eye(z.shape[1]))
    return 4 / (z.shape[1] * (len(z) - 1)) * (z - z.mean(0)) @ off_diagonal


def dominant(z: Matrix, top_k: int) -> float:
    values = np.linalg.svd(z, compute_uv=False)
    return -sum(values[:top_k]) / top_k / sum(values)


def dominant_gradient(z: Matrix, top_k: int, rank: int | None = None) -> Matrix:
    """Σ_i (dL/dσ_i) u_i v_iᵀ over the first ``rank`` singular values."""
    u, values, vh = np.linalg.svd(z, full_matrices=False)
    rank = len(values) if rank is None else rank
    values = values[:rank]
    top = (np.arange(rank) < top_k).astype(float)
    slopes = (sum(values[:top_k]) / sum(values) - top) / (top_k * sum(values))
    return (u[:, :rank] * slopes) @ vh[:rank]


def consistency(z: Matrix, f: Matrix, reduction: str) -> float:
    rows = [sum((a / np.linalg.norm(a) - b / np.linalg.norm(b)) ** 2) for a, b in zip(z, f, strict=True)]
    return sum(rows) / (z.size if reduction == "mean" else len(z))


def consistency_gradient(z: Matrix, f: Matrix, reduction: str) -> Matrix:
    """By z: −2·(I − ẑẑᵀ)·f̂ / ‖z‖ for each row."""
    gradient = np.empty_like(z)
    for i, (a, b) in enumerate(zip(z, f, strict=True)):
        direction = a / np.linalg.norm(a)
        other = b / np.linalg.norm(b)
        gradient[i] = -2 * (other - direction * (direction @ other)) / np.linalg.norm(a)
    return gradient / (z.size if reduction == "mean" else len(z))
