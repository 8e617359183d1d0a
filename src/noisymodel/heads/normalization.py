"""The scale of the rows: taken away before a head's network, or measured."""

from __future__ import annotations

import torch
from torch import Tensor

from .._checks import check_choice

NORMALIZATIONS = ("l2", None)
"""Names of what a head does to its rows first; ``None`` is nothing."""


def check_normalize(normalize: object) -> str | None:
    """One of `NORMALIZATIONS`."""
    check_choice(normalize, "normalize", NORMALIZATIONS)
    return None if normalize is None else "l2"


def unit_rows(features: Tensor) -> Tensor:
    """Rows (..., D) of length √D, that is of root mean square 1: √D · f / ‖f‖.

    A zero row stays zero. Each row is divided by its largest entry first, so that no scale over- or underflows; half
    precision is computed in float32. The gradient is finite everywhere; in a zero row it is √D times that of the
    result. NaN and infinity give NaN.
    """
    rows = features.float() if features.dtype in (torch.float16, torch.bfloat16) else features
    rows = rows / _divisor(rows.detach())
    square = rows.square().mean(-1, keepdim=True)
    return (rows * torch.where(square == 0, 1 / rows.shape[-1], square).rsqrt()).to(features.dtype)


def root_mean_square(features: Tensor) -> Tensor:
    """(..., 1) of rows (..., D), without gradient, whatever their scale."""
    rows = features.detach()
    rows = rows.float() if rows.dtype in (torch.float16, torch.bfloat16) else rows
    divisor = _divisor(rows)
    return (divisor * (rows / divisor).square().mean(-1, keepdim=True).sqrt()).to(features.dtype)


def _divisor(rows: Tensor) -> Tensor:
    """(..., 1) the largest magnitude of each row, 1 for a zero row."""
    largest = rows.abs().amax(-1, keepdim=True)
    return torch.where(largest == 0, 1, largest)
