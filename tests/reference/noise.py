"""Label noise as the definitions write it: loops, no vectorisation, decimal arithmetic for counts."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

import numpy as np


def symmetric_transition(num_classes: int, rate: float, include_true: bool) -> np.ndarray:
    matrix = np.zeros((num_classes, num_classes))
    for clean in range(num_classes):
        matrix[clean, clean] += 1.0 - rate
        candidates = [noisy for noisy in range(num_classes) if include_true or noisy != clean]
        for noisy in candidates:
            matrix[clean, noisy] += rate / len(candidates)
    return matrix


def half_up(rate: str, samples: int) -> int:
    return int((Decimal(rate) * samples).quantize(Decimal(1), rounding=ROUND_HALF_UP))


def empirical_transition(clean: np.ndarray, noisy: np.ndarray, num_classes: int) -> np.ndarray:
    """T̂[i, j]: the share of the samples of clean class i that carry label j."""
    counts = np.zeros((num_classes, num_classes))
    for before, after in zip(clean.tolist(), noisy.tolist(), strict=True):
        counts[before, after] += 1
    return counts / counts.sum(axis=1, keepdims=True)
