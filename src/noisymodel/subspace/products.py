"""Sums over pairs of rows, about any origin, from which CKA follows."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


class Products(NamedTuple):
    """Sums over pairs of rows (a, b) about an origin; s = ‖a‖², t = ‖b‖²."""

    num_rows: int
    origin_a: Tensor  # (D,), from which a is counted
    origin_b: Tensor  # (E,)
    sum_a: Tensor  # (D,) Σ a
    sum_b: Tensor  # (E,) Σ b
    aa: Tensor  # (D, D) Σ a aᵀ
    bb: Tensor  # (E, E) Σ b bᵀ
    ab: Tensor  # (D, E) Σ a bᵀ
    st: Tensor  # Σ s t
    ss: Tensor  # Σ s²
    tt: Tensor  # Σ t²
    sa: Tensor  # (D,) Σ s a
    sb: Tensor  # (E,) Σ s b
    ta: Tensor  # (D,) Σ t a
    tb: Tensor  # (E,) Σ t b

    @classmethod
    def of(cls, a: Tensor, b: Tensor, origin: tuple[Tensor, Tensor] | None = None) -> Products:
        """The sums of rows (n, D) and (n, E), float64, about an origin; None: about their means."""
        origin = (a.mean(dim=0), b.mean(dim=0)) if origin is None else origin
        a, b = a - origin[0], b - origin[1]
        s, t = a.square().sum(dim=1), b.square().sum(dim=1)
        scatters = a.T @ a, b.T @ b, a.T @ b
        sums = a.sum(dim=0), b.sum(dim=0), *scatters, s @ t, s @ s, t @ t, s @ a, s @ b, t @ a, t @ b
        return cls(len(a), *origin, *sums)

    def plus(self, other: Products) -> Products:
        """The sums of the rows of both."""
        moved = other.moved(other.origin_a - self.origin_a, other.origin_b - self.origin_b)
        sums = (one + two for one, two in zip(self[3:], moved[3:], strict=True))
        return Products(self.num_rows + other.num_rows, self.origin_a, self.origin_b, *sums)

    def moved(self, u: Tensor, v: Tensor) -> Products:
        """The same sums of a + u and b + v, about an origin that much lower."""
        n, p, q = self.num_rows, self.sum_a, self.sum_b
        uu, vv = u @ u, v @ v
        s, t = self.aa.diagonal().sum(), self.bb.diagonal().sum()  # Σ s, Σ t
        pu, qv = p @ u, q @ v  # Σ a·u, Σ b·v
        # s' = s + 2a·u + uu, t' = t + 2b·v + vv
        s_sum, t_sum = s + 2 * pu + n * uu, t + 2 * qv + n * vv
        st = (
            self.st + 2 * (self.sb @ v) + vv * s + 2 * (self.ta @ u) + 4 * (u @ self.ab @ v) + 2 * vv * pu
            + uu * t + 2 * uu * qv + n * uu * vv
        )  # fmt: skip
        ss = self.ss + 4 * (self.sa @ u) + 2 * uu * s + 4 * (u @ self.aa @ u) + 4 * uu * pu + n * uu * uu
        tt = self.tt + 4 * (self.tb @ v) + 2 * vv * t + 4 * (v @ self.bb @ v) + 4 * vv * qv + n * vv * vv
        sa = self.sa + 2 * (self.aa @ u) + uu * p + s_sum * u
        sb = self.sb + 2 * (self.ab.T @ u) + uu * q + s_sum * v
        ta = self.ta + 2 * (self.ab @ v) + vv * p + t_sum * u
        tb = self.tb + 2 * (self.bb @ v) + vv * q + t_sum * v
        aa = self.aa + torch.outer(p, u) + torch.outer(u, p) + n * torch.outer(u, u)
        bb = self.bb + torch.outer(q, v) + torch.outer(v, q) + n * torch.outer(v, v)
        ab = self.ab + torch.outer(p, v) + torch.outer(u, q) + n * torch.outer(u, v)
        origin = self.origin_a - u, self.origin_b - v
        return Products(n, *origin, p + n * u, q + n * v, aa, bb, ab, st, ss, tt, sa, sb, ta, tb)

    def centred(self) -> Products:
        """The same sums about the means."""
        return self.moved(-self.sum_a / self.num_rows, -self.sum_b / self.num_rows)

    def cka(self, *, debiased: bool) -> float:
        """CKA of rows about their means."""
        if not debiased:
            cross, one, other = (float(matrix.square().sum()) for matrix in (self.ab, self.aa, self.bb))
            return ratio(cross, one, other)
        return ratio(self._hsic("ab"), self._hsic("aa"), self._hsic("bb"))

    def _hsic(self, which: str) -> float:
        """The unbiased HSIC; for rows about their means Σa = Σb = 0, so that K̃1 = −s and 1ᵀK̃1 = −Σs."""
        matrix, products = {"ab": (self.ab, self.st), "aa": (self.aa, self.ss), "bb": (self.bb, self.tt)}[which]
        traces = {"a": self.aa.diagonal().sum(), "b": self.bb.diagonal().sum()}
        return unbiased(matrix.square().sum() - products, traces[which[0]] * traces[which[1]], products, self.num_rows)


def unbiased(trace: Tensor, sums: Tensor, rows: Tensor, count: int) -> float:
    """tr(K̃L̃), 1ᵀK̃1·1ᵀL̃1 and 1ᵀK̃L̃1 to the unbiased HSIC."""
    n = count
    return float(trace + sums / ((n - 1) * (n - 2)) - 2 / (n - 2) * rows) / (n * (n - 3))


def ratio(cross: float, one: float, other: float) -> float:
    """CKA of three HSICs; NaN where one of the matrices is constant."""
    return cross / math.sqrt(one * other) if one > 0 and other > 0 else math.nan


def check_paired(first: Tensor, second: Tensor) -> None:
    """Two matrices of the same samples have as many rows."""
    if len(first) != len(second):
        raise ValueError(f"`a` and `b` must be of the same samples, got {len(first)} and {len(second)} rows")
