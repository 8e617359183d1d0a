"""LiDAR: the number of directions that separate classes (or images, by their views) against the variation within."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from .._checks import check_array, check_number
from .analysis import read_matrix
from .singular_values import Array


def lidar(features: Array, labels: Array, *, delta: float = 1e-4, epsilon: float = 1e-7) -> float:
    """LiDAR, the rank of linear discriminant analysis: exp(−Σ p_i ln p_i) of p_i = λ_i / Σλ + ε, not renormalised.

    λ_i are the D eigenvalues of Σ_w^(−½) Σ_b Σ_w^(−½), Σ_b = Σ_c (n_c/N)·(μ_c − μ)(μ_c − μ)ᵀ of the class means and
    Σ_w = (1/N)·Σ (x − μ_c)(x − μ_c)ᵀ + δI within the classes; μ is the mean of all rows. In the paper a class is an
    image, and its rows are the features of q views: ``lidar(views.reshape(-1, D), np.arange(n).repeat(q))`` of views
    (n, q, D), for which the sums are the paper's means. At most min(D, classes − 1), but for ε.

    δ is absolute, so that the result depends on the scale of the features: where Σ_w is well above δ (or with
    ``delta=0``, if Σ_w is regular) it is invariant to every invertible linear map, elsewhere not. Implementations
    differ in δ (1e-4, 1e-5, 1e-6) and ε (1e-7 added, or 1e-8 added and p renormalised: for ε = 0 they agree), and some
    divide Σ_w by N − classes, which matters through δ alone. One runs a principal component analysis on the matrix
    instead of taking its eigenvalues, which squares them: another metric.

    Args:
        features: (N, D) finite, of any floating dtype; computed in float64. Never mutated.
        labels: (N,) of whole numbers or strings: the class of each row; two classes at least, and one with two rows.
        delta: δ ≥ 0.
        epsilon: ε ≥ 0.

    Returns:
        A float; NaN where all class means are the same.

    Raises:
        TypeError: features that are not a floating array.
        ValueError: wrong shapes, NaN or infinity, fewer than two classes, no class with two rows, δ or ε negative, and
            a singular Σ_w with ``delta=0``.

    Source: Thilak et al. 2024 (arXiv 2312.04000), section 3.

    >>> from noisymodel.spectrum import lidar
    >>> random = np.random.default_rng(0)
    >>> centers = 5 * random.normal(size=(3, 8))
    >>> labels = np.arange(3).repeat(100)
    >>> 1.0 < lidar(centers[labels] + random.normal(size=(300, 8)), labels) < 2.01
    True
    """
    delta = check_number(delta, "delta", minimum=0.0)
    epsilon = check_number(epsilon, "epsilon", minimum=0.0)
    rows = read_matrix(features, "features")
    place, counts = _classes(labels, len(rows))
    place, counts = place.to(rows.device), counts.to(rows.device)
    rows = rows - rows.mean(dim=0)
    means = rows.new_zeros(len(counts), rows.shape[1]).index_add_(0, place, rows) / counts[:, None]
    within = rows - means[place]
    values, vectors = torch.linalg.eigh(within.T @ within / len(rows))
    values = values.clamp_min(0.0) + delta
    if values[0] <= len(values) * torch.finfo(torch.float64).eps * values[-1]:
        raise ValueError(f"`delta` must be positive where the classes vary in fewer than D directions, got {delta}")
    whitened = ((counts / len(rows)).sqrt()[:, None] * means) @ (vectors / values.sqrt())
    between = torch.linalg.svdvals(whitened).square()
    between = torch.nn.functional.pad(between, (0, max(0, rows.shape[1] - len(between))))
    if not between[0] > 0:
        return math.nan
    return float(torch.special.entr(between / between.sum() + epsilon).sum().exp())


def _classes(labels: Any, num_rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The place of each row's class (N,), and the number of rows of each class."""
    given = check_array(labels, "labels", kinds="biuUS", expected="whole numbers or strings")
    known = given.cpu().numpy() if isinstance(given, torch.Tensor) else given
    if known.shape != (num_rows,):
        raise ValueError(f"`labels` must have shape (N,) = ({num_rows},), got {known.shape}")
    _, place, counts = np.unique(known, return_inverse=True, return_counts=True)
    if len(counts) < 2 or counts.max() < 2:
        raise ValueError(
            "`labels` must name at least two classes, one of them twice, "
            f"got {len(counts)} {'class' if len(counts) == 1 else 'classes'} of at most {counts.max()} rows"
        )
    return torch.from_numpy(place), torch.from_numpy(counts).to(torch.float64)
