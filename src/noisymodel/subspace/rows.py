"""The rows of feature matrices to be compared, checked."""

from __future__ import annotations

import torch
from torch import Tensor

from ..spectrum.analysis import check_finite, check_rows_of


def rows_of(features: object, name: str, num_features: int | None = None, *, first: int = 0) -> Tensor:
    """Finite rows (N, D) in float64."""
    rows, _ = check_rows_of(features, name, num_features)
    if getattr(features, "ndim", 0) != 2 or (num_features is None and 0 in rows.shape):
        raise ValueError(f"`{name}` must have shape (N, D), got {tuple(getattr(features, 'shape', ()))}")
    check_finite(rows, name, first=first)
    return rows.to("cpu" if rows.device.type == "mps" else rows.device).to(torch.float64)


def check_paired(first: Tensor, second: Tensor) -> None:
    """Two matrices of the same samples have as many rows."""
    if len(first) != len(second):
        raise ValueError(f"`a` and `b` must be of the same samples, got {len(first)} and {len(second)} rows")
