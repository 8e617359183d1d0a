"""The odd polynomials of degree 5 whose composition is the best approximation of 1 on [lowest, 1], step by step."""

from __future__ import annotations

import numpy as np

CUSHION = 0.0241  # the approximation begins at no less than this times the upper end: no value comes near zero


def minimax(lower: float, upper: float) -> np.ndarray:
    """(a, b, c) of a·x + b·x³ + c·x⁵ with the smallest largest distance from 1 on the interval (Remez)."""
    inner, outer = (3 * lower + upper) / 4, (lower + 3 * upper) / 4
    for _ in range(100):
        x = np.array([lower, inner, outer, upper])
        a, b, c, _ = np.linalg.solve(np.stack([x, x**3, x**5, [1, -1, 1, -1]], 1), np.ones(4))
        root = np.sqrt(9 * b * b - 20 * a * c)
        inner, outer = np.sqrt((-3 * b - root) / (10 * c)), np.sqrt((-3 * b + root) / (10 * c))
    return np.array([a, b, c])


def composition(lowest: float, steps: int) -> list[tuple[np.ndarray, float]]:
    """The polynomials, and the lower end of what each leaves: [lower, 2 − lower]."""
    lower, upper, found = lowest, 1.0, []
    for _ in range(steps):
        polynomial = minimax(max(lower, CUSHION * upper), upper)
        first, last = (polynomial @ np.array([x, x**3, x**5]) for x in (lower, upper))
        polynomial *= 2 / (first + last)
        lower = 2 * first / (first + last)
        upper = 2 - lower
        found.append((polynomial, lower))
    return found
