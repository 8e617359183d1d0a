"""The singular values of a batch and their vectors on the smaller side, and what the dominant term makes of them.

A Gram matrix squares the condition number κ: from float32 rows the small singular values have a relative error of about
ε64·κ². Float64 rows would need more than float64 for the same, so they take a QR decomposition and the SVD of its
triangle, with a relative error of about ε64·κ.
"""

from __future__ import annotations

import torch
from torch import Tensor


def of_gram(gram: Tensor) -> tuple[Tensor, Tensor]:
    """Singular values σ, ascending, and vectors, by the eigenpairs of ZZᵀ or ZᵀZ; σ is 0 where σ² is noise."""
    eigenvalues, vectors = torch.linalg.eigh(_finite(gram))
    noise = eigenvalues[-1] * noise_level(gram.shape[0], gram.dtype)
    return torch.where(eigenvalues > noise, eigenvalues, 0.0).sqrt(), vectors


def of_rows(rows: Tensor) -> tuple[Tensor, Tensor]:
    """The same of rows Z by QR and the SVD of the triangle; σ ≤ max(N, D)·ε·σ_max is noise."""
    tall = _finite(rows if rows.shape[0] >= rows.shape[1] else rows.mT)
    triangle = torch.linalg.qr(tall)[1]
    vectors, values, _ = torch.linalg.svd(triangle.mT)
    noise = values[0] * (tall.shape[0] * torch.finfo(tall.dtype).eps)
    return torch.where(values > noise, values, 0.0).flip(0), vectors.flip(1)


def noise_level(size: int, dtype: torch.dtype) -> float:
    """The λ/λ_max below which an eigenvalue of a Gram matrix of this size is noise."""
    return (4 + size / 4) * torch.finfo(dtype).eps


def leading_share(values: Tensor, vectors: Tensor, top_k: int, *, floor: float) -> tuple[Tensor, Tensor]:
    """S = (1/k) Σ_{i≤k} σ_i / Σσ, and the matrix A of the gradient of −s, which is A·Z (or Z·A).

    A = Σ_i (s − [i ≤ k]/k) / (σ_i·Σσ) · u_i u_iᵀ over σ_i > 0: where σ_i = 0 there is no gradient, the smallest
    subgradient. In A, Σσ counts as at least ``floor``.
    """
    total = values.sum()
    share = values[-top_k:].sum() / (top_k * total.clamp_min(torch.finfo(values.dtype).tiny))
    places = torch.zeros_like(values)
    places[-top_k:] = 1 / top_k
    weights = (share - places) / (torch.where(values > 0, values, torch.inf) * total.clamp_min(floor))
    return share, (vectors * weights) @ vectors.mT


def _finite(matrix: Tensor) -> Tensor:
    """LAPACK raises on NaN; the term's value makes it visible."""
    return torch.nan_to_num(matrix, nan=0.0, posinf=0.0, neginf=0.0)
