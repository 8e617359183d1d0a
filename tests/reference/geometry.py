"""LiDAR and TwoNN as their papers write them: loops over classes, rows and pairs."""

from __future__ import annotations

import math

import numpy as np
import scipy.linalg


def lidar(features: np.ndarray, labels: np.ndarray, delta: float, epsilon: float) -> float:
    """The generalised eigenvalues of (Σ_b, Σ_w), by scipy."""
    size, mean = features.shape[1], features.mean(axis=0)
    between, within = np.zeros((size, size)), delta * np.eye(size)
    for label in np.unique(labels):
        rows = features[labels == label]
        center = rows.mean(axis=0)
        between += len(rows) / len(features) * np.outer(center - mean, center - mean)
        for row in rows:
            within += np.outer(row - center, row - center) / len(features)
    values = np.maximum(scipy.linalg.eigh(between, within, eigvals_only=True), 0.0)
    shares = values / values.sum() + epsilon
    return math.exp(-math.fsum(p * math.log(p) for p in shares.tolist() if p > 0))


def two_nearest(features: np.ndarray) -> list[tuple[float, float]]:
    found = []
    for place, row in enumerate(features):
        distances = sorted(math.dist(row, other) for index, other in enumerate(features) if index != place)
        found.append((distances[0], distances[1]))
    return found


def intrinsic_dimension(features: np.ndarray, discard: float) -> float:
    """Facco et al. (2017): F(μ_i) = i/N, a line through the origin, the largest ratios discarded."""
    ratios = sorted(second / first for first, second in two_nearest(features))
    kept = min(int((1 - discard) * len(ratios)), len(ratios) - 1)
    x = [math.log(ratio) for ratio in ratios[:kept]]
    y = [-math.log(1 - rank / len(ratios)) for rank in range(1, kept + 1)]
    return sum(a * b for a, b in zip(x, y, strict=True)) / sum(a * a for a in x)


def intrinsic_dimension_by_likelihood(features: np.ndarray, discard: float) -> float:
    """The exponential rate of ln μ where the largest are only known to be larger."""
    x = sorted(math.log(second / first) for first, second in two_nearest(features))
    kept = int((1 - discard) * len(x))
    return (kept - 1) / (sum(x[:kept]) + (len(x) - kept) * x[kept - 1])
