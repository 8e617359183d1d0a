"""Metrics of singular values as the papers write them: plain loops over floats, nothing shared with the library."""

from __future__ import annotations

import math

import numpy as np
from scipy.integrate import quad
from scipy.optimize import brentq


def shares(values: list[float]) -> list[float]:
    total = math.fsum(values)
    return [value / total for value in values]


def entropy(values: list[float]) -> float:
    return -math.fsum(p * math.log(p) for p in shares(values) if p > 0)


def largest_ratio(values: list[float]) -> float:
    return -math.log(max(values) / math.fsum(values))


def rankme(values: list[float], epsilon: float) -> float:
    return math.exp(-math.fsum((p + epsilon) * math.log(p + epsilon) for p in shares(values) if p + epsilon > 0))


def stable_rank(values: list[float]) -> float:
    return math.fsum(v**2 for v in values) / max(values) ** 2


def participation_ratio(values: list[float]) -> float:
    return math.fsum(v**2 for v in values) ** 2 / math.fsum(v**4 for v in values)


def power_law_exponent(values: list[float], first: int, last: int) -> float:
    """Weighted normal equations with an intercept, as in Stringer et al. (2019): ranks from 1, weights 1/i."""
    ranks = np.arange(first, last + 1, dtype=float)
    design = np.stack([-np.log(ranks), np.ones_like(ranks)], axis=1)
    target = np.log(np.array(values[first - 1 : last]) ** 2)
    weighted = design / ranks[:, None]
    return float(np.linalg.solve(design.T @ weighted, weighted.T @ target)[0])


def marchenko_pastur_median(aspect: float) -> float:
    """The median of the Marchenko-Pastur law by quadrature of its density and a root search."""
    low, high = (1 - math.sqrt(aspect)) ** 2, (1 + math.sqrt(aspect)) ** 2

    def density(x: float) -> float:
        return math.sqrt(max((high - x) * (x - low), 0.0)) / (2 * math.pi * aspect * x)

    return brentq(lambda m: quad(density, low, m, epsabs=1e-11, limit=200)[0] - 0.5, low + 1e-9, high)


def normalize_rows(matrix: np.ndarray) -> np.ndarray:
    return np.array([row / math.sqrt(math.fsum(v * v for v in row.tolist())) for row in matrix])


def center(matrix: np.ndarray, how: str) -> np.ndarray:
    axis = {"column": 0, "row": 1}[how]
    mean = np.apply_along_axis(lambda line: math.fsum(line) / len(line), axis, matrix)
    return matrix - np.expand_dims(mean, axis)


def matrix_with(values: np.ndarray, num_samples: int, num_features: int, seed: int) -> np.ndarray:
    """A matrix (N, D) whose singular values are ``values``: orthogonal factors times the chosen diagonal."""
    generator = np.random.default_rng(seed)
    left = np.linalg.qr(generator.standard_normal((num_samples, len(values))))[0]
    right = np.linalg.qr(generator.standard_normal((num_features, len(values))))[0]
    return (left * values) @ right.T
