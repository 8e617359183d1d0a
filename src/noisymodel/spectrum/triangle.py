"""Moments of rows: their count, their mean, and what is left of them as a triangle or as a Gram matrix."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

_TOLERANCE = 1e-10  # the relative error of Σσ that a Gram matrix may bring


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


class Scatter(NamedTuple):
    """The same of n rows with the scatter G = RᵀR itself in the place of its factor."""

    num_rows: int
    mean: Tensor  # (d,)
    gram: Tensor  # (d, d)
    inverse_trace: float  # tr(G⁻¹) is at most this

    @property
    def is_mild(self) -> bool:
        """Whether the rounding of G moves Σσ by less than 1e-10.

        It moves σ_i by about ε·tr(G)/(√d·σ_i), and so Σσ ≥ √tr(G) by ε·tr(G)·√tr(G⁻¹) at most.
        """
        size = float(self.gram.diagonal().sum())
        return 2 * torch.finfo(torch.float64).eps * math.sqrt(size * self.inverse_trace) < _TOLERANCE

    def moments(self) -> Moments:
        """The same with the Cholesky factor of G, which must be mild."""
        return Moments(self.num_rows, self.mean, torch.linalg.cholesky(self.gram, upper=True))


def centred(rows: Tensor) -> Tensor:
    """The mean of a block of rows (n, d), n ≥ 1, float64, which is subtracted in place."""
    mean = rows.mean(dim=0)
    rows -= mean
    return mean


def scatter_of(mean: Tensor, rows: Tensor) -> Scatter:
    """The scatter of centred rows, of unknown condition."""
    return Scatter(len(rows), mean, rows.T @ rows, math.inf)


def conditioned(scatter: Scatter) -> Scatter:
    """The scatter with tr(G⁻¹), infinite where G is not positive definite to rounding."""
    factor, failed = torch.linalg.cholesky_ex(scatter.gram)
    smallest = float(factor.diagonal().min())
    trace = 1 / smallest**2 if not failed and smallest > 0 else math.inf  # tr(G⁻¹) is at least that
    if math.isfinite(trace) and scatter._replace(inverse_trace=trace).is_mild:
        trace = float(torch.cholesky_inverse(factor).diagonal().sum())
    return scatter._replace(inverse_trace=trace)


def added(one: Scatter | None, other: Scatter) -> Scatter:
    """The scatter of the rows of both (Chan, Golub and LeVeque 1983)."""
    if one is None:
        return other
    count, difference = one.num_rows + other.num_rows, other.mean - one.mean
    gram = one.gram + other.gram
    gram.addr_(difference, difference, alpha=one.num_rows * (other.num_rows / count))
    # (A + B)⁻¹ is the parallel sum of A⁻¹ and B⁻¹, whose trace is at most the parallel sum of theirs (Ando)
    parts = (1 / one.inverse_trace) + (1 / other.inverse_trace)
    return Scatter(count, one.mean + difference * (other.num_rows / count), gram, 1 / parts if parts else math.inf)


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
