"""Gram matrices of rows about their mean, and when they are as good as a triangle."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from .triangle import Moments

_TOLERANCE = 1e-10  # the relative error of Σσ that a Gram matrix may bring
_WEIGHT = 2e4  # the trace in coordinates up to which 16 roundings of it stay below that
_LEVERAGE = 16  # how much heavier rows may be, in coordinates of others, than those themselves
_PIECE = 2048  # rows that are in other coordinates at a time
_EPSILON = torch.finfo(torch.float64).eps


class Scatter(NamedTuple):
    """Moments with the scatter G = RᵀR itself in the place of its factor."""

    num_rows: int
    mean: Tensor  # (d,)
    gram: Tensor  # (d, d)
    inverse_trace: float  # tr(G⁻¹) is at most this

    @property
    def is_mild(self) -> bool:
        """Whether the rounding of G moves Σσ by less than 1e-10.

        It moves σ_i by about ε·tr(G)/(√d·σ_i), and so Σσ ≥ √tr(G) by ε·tr(G)·√tr(G⁻¹) at most.
        """
        if not math.isfinite(self.inverse_trace):
            return False
        size = float(self.gram.diagonal().sum())
        return 2 * _EPSILON * math.sqrt(size * self.inverse_trace) < _TOLERANCE

    def moments(self) -> Moments:
        """The same with the Cholesky factor of G, which must be mild."""
        return Moments(self.num_rows, self.mean, torch.linalg.cholesky(self.gram, upper=True))

    def uncentred(self) -> Scatter:
        """The scatter about zero: G + n·mean·meanᵀ, whose inverse is no larger."""
        return self._replace(gram=self.gram + self.num_rows * torch.outer(self.mean, self.mean))


def scatter_of(mean: Tensor, rows: Tensor) -> Scatter:
    """The scatter of centred rows, of unknown condition."""
    return Scatter(len(rows), mean, gram_of(rows), math.inf)


def gram_of(rows: Tensor) -> Tensor:
    """XᵀX of rows (n, d), from the products of column panels in its upper half alone."""
    size = rows.shape[1]
    if size < 128:
        return rows.T @ rows
    return _mirrored(_add_products(rows.new_zeros(size, size), rows))


def _add_products(gram: Tensor, rows: Tensor) -> Tensor:
    """Add XᵀX to a matrix, in its upper half and the blocks on its diagonal."""
    for start, stop in _panels(len(gram)):
        gram[start:stop, start:].addmm_(rows[:, start:stop].T, rows[:, start:])
    return gram


def _mirrored(gram: Tensor) -> Tensor:
    """The lower half from the upper one."""
    for start, stop in _panels(len(gram)):
        gram[stop:, start:stop] = gram[start:stop, stop:].T
    return gram


def _panels(size: int) -> list[tuple[int, int]]:
    """Where the columns are cut."""
    width = min(max(size // 4, 64), 256)
    return [(start, min(start + width, size)) for start in range(0, size, width)]


def conditioned(scatter: Scatter) -> Scatter:
    """The scatter with tr(G⁻¹), infinite where G is not positive definite to rounding."""
    factor, failed = torch.linalg.cholesky_ex(scatter.gram)
    smallest = float(torch.where(failed > 0, 0.0, factor.diagonal().min()))
    trace = 1 / smallest**2 if smallest > 0 else math.inf  # tr(G⁻¹) is at least that
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


class Relative(NamedTuple):
    """The scatter of rows X in the coordinates Y of an earlier triangle P of like rows, YP = X: PᵀGP, G = YᵀY.

    Such rows are well conditioned in them however ill-conditioned they are themselves, and Y solves the triangular
    system with a backward error of a few ε in P, as a QR decomposition has it. Where P is singular to rounding its
    diagonal is raised to a few ε·‖P‖; there G is small, and its rounding no more than ε·‖P‖·√ε.
    """

    basis: Tensor  # (d, d) P, upper triangular
    base_rows: int  # how many rows P is of
    num_rows: int
    mean: Tensor  # (d,)
    gram: Tensor  # (d, d) G
    weight: float = 0.0  # tr(G)

    @classmethod
    def to(cls, moments: Moments) -> Relative:
        """No rows, in the coordinates of the triangle of others."""
        factor = moments.factor
        size = factor.shape[1]
        basis = factor.new_zeros(size, size)
        basis[: len(factor)] = factor
        floor = 16 * _EPSILON * factor.norm().clamp_min(torch.finfo(torch.float64).tiny)
        diagonal = basis.diagonal()
        diagonal.copy_(torch.where(diagonal.abs() < floor, floor, diagonal))
        return cls(basis, moments.num_rows, 0, torch.zeros_like(moments.mean), torch.zeros_like(basis))

    def has_room_for(self, num_rows: int) -> bool:
        """Whether as many rows like the others leave the rounding of G small enough."""
        return not self.num_rows or self.weight + 2 * self._usual(num_rows) <= _WEIGHT

    def plus(self, mean: Tensor, rows: Tensor) -> Relative | None:
        """With more centred rows, where these coordinates become them."""
        count = self.num_rows + len(rows)
        share = len(rows) / count
        gram = self._gram_of(rows)
        weight = gram.diagonal().sum()
        difference = mean - self.mean
        if self.num_rows:
            between = torch.linalg.solve_triangular(self.basis, difference[None], upper=True, left=False)[0]
            gram.addr_(between, between, alpha=self.num_rows * share)
        gram += self.gram
        own_weight, total = torch.stack([weight, gram.diagonal().sum()]).tolist()  # one wait for the device
        if not (own_weight <= _LEVERAGE * self._usual(len(rows)) and total <= _WEIGHT):  # NaN too
            return None
        return self._replace(num_rows=count, mean=self.mean + difference * share, gram=gram, weight=total)

    def _gram_of(self, rows: Tensor) -> Tensor:
        """YᵀY of rows X = YP, piece by piece, so that Y needs little memory."""
        pieces, basis = rows.split(_PIECE), self.basis.T
        gram, room = torch.zeros_like(self.basis), torch.empty_like(pieces[0])
        for piece in pieces:
            own = room[: len(piece)].T  # by columns, which is what LAPACK solves without copies
            torch.linalg.solve_triangular(basis, piece.T, upper=False, out=own)
            _add_products(gram, own.T)
        return _mirrored(gram)

    def _usual(self, num_rows: int) -> float:
        """tr(G) of as many rows that are as heavy as those that P is of."""
        return len(self.basis) * num_rows / max(self.base_rows, 1)

    def moments(self) -> Moments:
        """The triangle of the rows (not of those that P is of)."""
        factor, failed = torch.linalg.cholesky_ex(self.gram, upper=True)
        if failed:
            raised = self.gram.clone()
            raised.diagonal().add_(16 * _EPSILON * self.gram.diagonal().sum())
            factor, failed = torch.linalg.cholesky_ex(raised, upper=True)
        if failed:
            values, vectors = torch.linalg.eigh(self.gram)
            factor = values.clamp_min(0).sqrt()[:, None] * vectors.T
        return Moments(self.num_rows, self.mean, factor @ self.basis)
