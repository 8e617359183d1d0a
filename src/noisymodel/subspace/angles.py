"""Principal angles between the dominant subspaces of two feature matrices."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from .._checks import check_integer, warn_caller
from ..spectrum.analysis import of_moderate_size, read_matrix
from ..spectrum.singular_values import Array

_GAP = 1e-8  # relative difference of σ_k and σ_{k+1} below which the k-th direction is anybody's guess


class IllDefinedSubspaceWarning(UserWarning):
    """The k-th and the next singular value are equal to rounding, so that the top-k subspace is not unique."""


def principal_angles(a: Array, b: Array, *, k: int) -> Array:
    """The principal angles between the top-k right-singular subspaces of two feature matrices.

    With V_a, V_b (D, k) the right-singular vectors of the k largest singular values, cos θ_i = σ_i(V_aᵀV_b). Small
    angles are taken from the sines, σ_i((I − V_aV_aᵀ)V_b), since arccos knows angles below 1e-8 only as 0.

    Args:
        a: features (N, D), uncentred: subtract column means yourself where the literature does.
        b: features (M, D) of the same D; the number of rows may differ.
        k: dimension of the subspaces, from 1 to the smaller rank.

    Returns:
        (k,) angles in radians, ascending, in [0, π/2], float64; torch for torch (same device), else numpy.

    Raises:
        TypeError: for anything but floating arrays.
        ValueError: for other shapes, NaN or infinity, and k above min(N, M, D) or above a rank.

    Warns:
        IllDefinedSubspaceWarning: where σ_k = σ_{k+1} to 1e-8.

    Source: Björck and Golub 1973; the sines as in Knyazev and Argentati 2002.

    >>> import numpy as np
    >>> from noisymodel.subspace import principal_angles
    >>> turn = np.array([[np.cos(0.3), np.sin(0.3), 0.0], [-np.sin(0.3), np.cos(0.3), 0.0], [0.0, 0.0, 1.0]])
    >>> features = np.diag([3.0, 2.0, 1.0])
    >>> principal_angles(features, features @ turn, k=1).round(6)
    array([0.3])
    """
    first, second = (of_moderate_size(read_matrix(rows, name))[0] for rows, name in ((a, "a"), (b, "b")))
    if first.shape[1] != second.shape[1]:
        raise ValueError(f"`a` and `b` must have as many features, got {first.shape[1]} and {second.shape[1]}")
    k = check_integer(k, "k", minimum=1)
    angles = angles_between(directions(first, k, "a"), directions(second, k, "b"))
    return angles if isinstance(a, Tensor) else angles.numpy()


def dominant_rotation(a: Array, b: Array, *, k: int) -> float:
    """By how much the top-k right-singular subspace is turned: the largest of `principal_angles`, in [0, π/2].

    Arguments, errors and warnings as there.

    >>> import numpy as np
    >>> from noisymodel.subspace import dominant_rotation
    >>> features = np.diag([3.0, 2.0, 1.0])
    >>> round(dominant_rotation(features, features[:, [1, 0, 2]], k=1), 6), dominant_rotation(features, features, k=2)
    (1.570796, 0.0)
    """
    return float(principal_angles(a, b, k=k)[-1])


def directions(rows: Tensor, k: int, name: str) -> Tensor:
    """(D, k) right-singular vectors of the largest singular values."""
    if k > min(rows.shape):
        raise ValueError(f"`k` must be at most min(N, D) = {min(rows.shape)} of `{name}`, got {k}")
    _, values, vectors = torch.linalg.svd(rows, full_matrices=False)
    _check_gap(values, k, name, rounding=max(rows.shape) * np.finfo(np.float64).eps)
    return vectors[:k].T


def directions_of_scatter(scatter: Tensor, mean: Tensor, k: int, name: str, count: int) -> Tensor:
    """The same of rows of which the scatter about their mean is left.

    From the singular values of a root of it with √n·mean below, since a large mean added to the scatter itself would
    drown it.
    """
    if k > min(len(scatter), count):
        raise ValueError(f"`k` must be at most min(N, D) = {min(len(scatter), count)} of `{name}`, got {k}")
    variances, axes = torch.linalg.eigh(scatter)
    root = variances.clamp_min(0).sqrt()[:, None] * axes.T
    _, values, vectors = torch.linalg.svd(torch.cat([root, math.sqrt(count) * mean[None]]), full_matrices=False)
    lost = 1e-7 * float(variances[-1].clamp_min(0).sqrt()) / max(float(values[0]), np.finfo(np.float64).tiny)
    _check_gap(values, k, name, rounding=lost + 64 * np.finfo(np.float64).eps)
    return vectors[:k].T


def _check_gap(values: Tensor, k: int, name: str, *, rounding: float) -> None:
    """Singular values (descending) must reach to the k-th, and should fall after it."""
    largest, last = float(values[0]), float(values[k - 1])
    if last <= rounding * largest:
        rank = int((values > rounding * largest).sum())
        raise ValueError(f"`k` must be at most the rank of `{name}`, {rank}, got {k}")
    if k < len(values) and last - float(values[k]) <= _GAP * largest:
        warn_caller(
            f"singular values {k} and {k + 1} of `{name}` are equal to rounding ({last:.6g}): the top-{k} subspace is "
            "not unique; take another k",
            IllDefinedSubspaceWarning,
        )


def angles_between(first: Tensor, second: Tensor) -> Tensor:
    """Principal angles (k,), ascending, between the ranges of orthonormal columns."""
    second = second.to(first.device)
    cosines = torch.linalg.svdvals(first.T @ second)
    sines = torch.linalg.svdvals(second - first @ (first.T @ second)).flip(0)
    by_sine = torch.asin(sines.clamp(0, 1))
    return torch.where(cosines.square() < 0.5, torch.acos(cosines.clamp(0, 1)), by_sine)
