"""Singular values from a Gram matrix alone, and what its rounding has done to them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .._checks import warn_caller
from .triangle import Moments

_GRAM_TOLERANCE = 1e-6


class GramPrecisionWarning(UserWarning):
    """The Gram matrix's rounding is a visible part of the spectrum that was taken from it."""


def gram_values(moments: Moments, center: str) -> Tensor:
    """σ = √λ of the Gram matrix, with a warning where its rounding is a visible part of Σσ."""
    gram = moments.factor
    if center == "none":
        gram = gram + moments.num_rows * torch.outer(moments.mean, moments.mean)
    eigenvalues = torch.linalg.eigvalsh(gram).flip(0).clamp_min(0.0)
    values = eigenvalues.sqrt()
    error = _entropy_error(values, noise=4 * torch.finfo(torch.float64).eps * eigenvalues.sum() / math.sqrt(len(gram)))
    if error > _GRAM_TOLERANCE:
        warn_caller(
            f'the Gram matrix cannot hold this spectrum: its rounding may be {error:.0e} of the SVE; use method="tsqr"',
            GramPrecisionWarning,
        )
    return values


def _entropy_error(values: Tensor, noise: Tensor) -> float:
    """How much of the SVE may come from ``noise`` in λ = σ², to first order in σ and by its size where σ is lost."""
    total = values.sum()
    if not total:
        return 0.0
    moved = torch.minimum(noise / (2 * values), noise.sqrt()) / total
    share = torch.maximum(values / total, moved)
    entropy = torch.special.entr(values / total).sum()
    return float((moved * (1 + share.log().abs())).sum() / entropy.clamp_min(1e-3))
