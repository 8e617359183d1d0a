"""Principal angles and CKA as the papers write them, and features to compare."""

from __future__ import annotations

import math

import numpy as np
import scipy.linalg


def gaussian(rows: int, features: int, seed: int = 0, mean: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, features)) * np.geomspace(3, 0.5, features) + mean


def orthogonal(size: int, seed: int) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((size, size)))[0]


def naive_angles(a: np.ndarray, b: np.ndarray, k: int) -> np.ndarray:
    return np.sort(scipy.linalg.subspace_angles(np.linalg.svd(a)[2][:k].T, np.linalg.svd(b)[2][:k].T))


def naive_cka(a: np.ndarray, b: np.ndarray, debiased: bool) -> float:
    """By N×N kernels, as the papers write it."""
    n = len(a)
    center = np.eye(n) - 1 / n

    def hsic(x: np.ndarray, y: np.ndarray) -> float:
        k, l = x @ x.T, y @ y.T  # noqa: E741 - the paper's letter
        if not debiased:
            return float(np.trace(k @ center @ l @ center))
        k, l = k - np.diag(np.diag(k)), l - np.diag(np.diag(l))  # noqa: E741 - the paper's letter
        one = np.ones(n)
        middle = one @ k @ one * (one @ l @ one) / ((n - 1) * (n - 2))
        return float((np.trace(k @ l) + middle - 2 / (n - 2) * (one @ k @ l @ one)) / (n * (n - 3)))

    return hsic(a, b) / math.sqrt(hsic(a, a) * hsic(b, b))
