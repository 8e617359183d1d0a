"""The jackknife and the bootstrap by their definitions: singular values of the rows themselves, nothing streamed."""

from __future__ import annotations

import math

import numpy as np
from scipy import stats


def entropy(rows: np.ndarray) -> float:
    values = np.linalg.svd(rows, compute_uv=False)
    share = values / values.sum()
    return -math.fsum(p * math.log(p) for p in share.tolist() if p > 0)


def jackknife(rows: np.ndarray, groups: np.ndarray, metric=entropy) -> tuple[list[float], float, float]:
    """Left-out values, bias-corrected value and standard error of Busing et al. (1999), equations 5 to 8."""
    total, value = len(rows), metric(rows)
    sizes = {group: int((groups == group).sum()) for group in np.unique(groups)}
    left_out = {group: metric(rows[groups != group]) for group in sizes}
    corrected = len(sizes) * value - sum((1 - sizes[group] / total) * left_out[group] for group in sizes)
    variance = 0.0
    for group, size in sizes.items():
        ratio = total / size
        pseudo = ratio * value - (ratio - 1) * left_out[group]
        variance += (pseudo - corrected) ** 2 / (ratio - 1)
    return list(left_out.values()), corrected, math.sqrt(variance / len(sizes))


def t_bounds(middle: float, error: float, count: int, level: float) -> tuple[float, float]:
    half = float(stats.t(count - 1).ppf(0.5 + level / 2)) * error
    return middle - half, middle + half
