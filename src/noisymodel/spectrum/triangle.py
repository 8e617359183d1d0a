"""Moments of rows: their count, their mean, and what is left of them as a triangle."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


class Moments(NamedTuple):
    """What is kept of n rows of d features, in float64.

    ``factor`` is R (r, d), r ≤ d, upper triangular: RᵀR is the scatter about the mean, and R's singular values are
    those of the centred rows.
    """

    num_rows: int
    mean: Tensor  # (d,)
    factor: Tensor  # (r, d)

    def uncentred(self) -> Tensor:
        """A matrix with the singular values of the rows as they are: RᵀR + n·mean·meanᵀ."""
        return torch.cat([self.factor, math.sqrt(self.num_rows) * self.mean[None]])


def no_rows(num_features: int, device: torch.device) -> Moments:
    """The identity of `joined`."""
    empty = torch.zeros(0, num_features, dtype=torch.float64, device=device)
    return Moments(0, torch.zeros(num_features, dtype=torch.float64, device=device), empty)


def centred(rows: Tensor) -> Tensor:
    """The mean of a block of rows (n, d), n ≥ 1, float64, which is subtracted in place."""
    mean = rows.mean(dim=0)
    rows -= mean
    return mean


def joined(one: Moments, other: Moments) -> Moments:
    """The moments of the rows of both: their triangles, and the difference of their means, in one QR decomposition.

    ``other.factor`` may be any matrix with the scatter of its rows, their centred rows themselves for instance.
    """
    if not other.num_rows:
        return one
    if not one.num_rows:
        return Moments(other.num_rows, other.mean, torch.linalg.qr(other.factor, mode="r").R)
    count = one.num_rows + other.num_rows
    difference = other.mean - one.mean
    between = math.sqrt(one.num_rows * (other.num_rows / count)) * difference[None]
    factor = torch.linalg.qr(torch.cat([one.factor, other.factor, between]), mode="r").R
    return Moments(count, one.mean + difference * (other.num_rows / count), factor)
