"""How the dominant subspaces of two feature matrices lie to each other: what singular values alone do not tell.

Two models may have the same spectrum along different directions. Principal angles compare the directions, linear CKA
the geometry of the samples. Both exist for whole matrices and, by cross-products, for features that come in batches.
"""

from __future__ import annotations

import math
import warnings
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ._checks import check_integer
from .spectrum.analysis import check_finite, check_rows_of
from .spectrum.singular_values import Array

__all__ = ["IllDefinedSubspaceWarning", "SubspaceAccumulator", "dominant_rotation", "linear_cka", "principal_angles"]

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
    first, second = _rows(a, "a"), _rows(b, "b")
    if first.shape[1] != second.shape[1]:
        raise ValueError(f"`a` and `b` must have as many features, got {first.shape[1]} and {second.shape[1]}")
    k = check_integer(k, "k", minimum=1)
    angles = _angles(_directions(first, k, "a"), _directions(second, k, "b"))
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


def linear_cka(a: Array, b: Array, *, debiased: bool = False) -> float:
    """Linear centred kernel alignment of two feature matrices of the same samples.

    CKA = HSIC(A, B) / √(HSIC(A, A)·HSIC(B, B)), HSIC(A, B) = ‖B_cᵀA_c‖_F² of the column-centred matrices: in [0, 1],
    1 for features that differ by rotation and scale. ``debiased=True`` takes the unbiased estimate of HSIC instead,

    [tr(K̃L̃) + 1ᵀK̃1·1ᵀL̃1/((N−1)(N−2)) − 2/(N−2)·1ᵀK̃L̃1] / (N(N−3)),

    K̃ = AAᵀ and L̃ = BBᵀ with zero diagonals, whose expectation does not grow with D/N; it may be negative.

    Never is a matrix of N×N formed where D is smaller, nor one of D×D where N is.

    Args:
        a: features (N, D).
        b: features (N, E) of the same samples in the same order; E may differ from D.
        debiased: see above; needs N ≥ 4.

    Returns:
        A float; NaN where one of the matrices is constant.

    Raises:
        TypeError: for anything but floating arrays.
        ValueError: for other shapes, different numbers of rows, too few rows, NaN or infinity.

    Source: Kornblith et al. 2019 (arXiv 1905.00414), equation 5; unbiased HSIC of Song et al. 2012, as in Nguyen et al.
    2021 (arXiv 2010.15327), equation 3.

    >>> import numpy as np
    >>> from noisymodel.subspace import linear_cka
    >>> features = np.random.default_rng(0).normal(size=(50, 6))
    >>> round(linear_cka(features, 3.0 * features[:, ::-1] + 1.0), 12)
    1.0
    """
    first, second = _rows(a, "a"), _rows(b, "b")
    _check_paired(first, second)
    least = 4 if debiased else 2
    if len(first) < least:
        raise ValueError(
            f"`a` must have at least {least} rows{' to be debiased' if debiased else ''}, got {len(first)}"
        )
    means = first.mean(dim=0), second.mean(dim=0)
    one, other = first - means[0], second - means[1].to(first.device)
    if max(one.shape[1], other.shape[1]) <= len(one):
        return _Products.of(one, other).cka(debiased=debiased)
    return _cka_of_kernels(one @ one.T, other @ other.T, debiased=debiased)


class SubspaceAccumulator:
    """`principal_angles`, `dominant_rotation` and `linear_cka` of features that come in batches, in O((D + E)²) memory.

    Kept are, about the means, the scatters AᵀA, BᵀB, the cross-product AᵀB, and the sums that the debiased HSIC needs:
    Σ ‖a_n‖²‖b_n‖², Σ ‖a_n‖⁴, Σ ‖b_n‖⁴, Σ ‖b_n‖² a_n and so on. They suffice, since with K = AAᵀ, L = BBᵀ of rows about
    any fixed point tr(K̃L̃) = ‖AᵀB‖_F² − Σ ‖a_n‖²‖b_n‖² and 1ᵀK̃L̃1 = Σ_n (a_n·Σa − ‖a_n‖²)(b_n·Σb − ‖b_n‖²), which
    multiplies out into those sums. The fixed point is the mean of the first batch: the debiased HSIC does not depend on
    it (the kernels are centred by the estimator), and near the mean nothing cancels.

    The subspaces are those of the rows as they are (uncentred), as in `principal_angles`; singular values below about
    1e-8·σ₁ are lost in the scatters, which does not touch dominant subspaces.

    Args:
        num_features_a: D.
        num_features_b: E; ``None``: D.

    >>> import numpy as np
    >>> from noisymodel.subspace import SubspaceAccumulator, linear_cka
    >>> random = np.random.default_rng(0)
    >>> a, b = random.normal(size=(60, 4)), random.normal(size=(60, 5))
    >>> pairs = SubspaceAccumulator(4, 5)
    >>> for part in range(0, 60, 20):
    ...     pairs.update(a[part : part + 20], b[part : part + 20])
    >>> bool(np.isclose(pairs.linear_cka(debiased=True), linear_cka(a, b, debiased=True), rtol=1e-9))
    True
    """

    def __init__(self, num_features_a: int, num_features_b: int | None = None) -> None:
        self.num_features_a = check_integer(num_features_a, "num_features_a", minimum=1)
        other = num_features_a if num_features_b is None else num_features_b
        self.num_features_b = check_integer(other, "num_features_b", minimum=1)
        self._origin: tuple[Tensor, Tensor] | None = None
        self._products: _Products | None = None

    @property
    def count(self) -> int:
        """The number of pairs of rows so far."""
        return 0 if self._products is None else self._products.num_rows

    def update(self, a: Array, b: Array) -> None:
        """Take in rows (n, D) and (n, E) of the same n samples.

        Raises:
            TypeError: for anything but floating arrays.
            ValueError: for other shapes, different numbers of rows, and NaN or infinity; the state stays as it was.
        """
        first = _rows(a, "a", self.num_features_a, first=self.count)
        second = _rows(b, "b", self.num_features_b, first=self.count).to(first.device)
        _check_paired(first, second)
        if not len(first):
            return
        if self._origin is None:
            self._origin = first.mean(dim=0), second.mean(dim=0)
        batch = _Products.of(first - self._origin[0], second - self._origin[1])
        self._products = batch if self._products is None else self._products.plus(batch)

    def merge(self, other: SubspaceAccumulator) -> SubspaceAccumulator:
        """Take in the pairs of another accumulator, which stays as it is; returns ``self``."""
        sizes = (self.num_features_a, self.num_features_b)
        theirs = (other.num_features_a, other.num_features_b)
        if sizes != theirs:
            raise ValueError(f"`other` must be of {sizes} features, got {theirs}")
        if other._origin is None or other._products is None:
            return self
        if self._origin is None or self._products is None:
            self._origin, self._products = other._origin, other._products
        else:
            moved = other._products.moved(other._origin[0] - self._origin[0], other._origin[1] - self._origin[1])
            self._products = self._products.plus(moved)
        return self

    def linear_cka(self, *, debiased: bool = False) -> float:
        """As `linear_cka`."""
        products, least = self._filled(), 4 if debiased else 2
        if products.num_rows < least:
            raise ValueError(f"`linear_cka` needs at least {least} rows, got {products.num_rows}")
        return products.centred().cka(debiased=debiased)

    def principal_angles(self, *, k: int) -> Tensor:
        """As `principal_angles`, (k,) float64."""
        if self.num_features_a != self.num_features_b:
            raise ValueError(
                f"angles need as many features on both sides, got {self.num_features_a} and {self.num_features_b}"
            )
        products = self._filled()
        origin = self._origin or (products.sum_a, products.sum_b)
        k = check_integer(k, "k", minimum=1)
        raw = products.moved(origin[0], origin[1])
        sides = [(raw.aa, "a"), (raw.bb, "b")]
        return _angles(*(_directions_of_scatter(scatter, k, name, products.num_rows) for scatter, name in sides))

    def dominant_rotation(self, *, k: int) -> float:
        """As `dominant_rotation`."""
        return float(self.principal_angles(k=k)[-1])

    def _filled(self) -> _Products:
        if self._products is None:
            raise ValueError("there are no rows yet: call `update` first")
        return self._products


class _Products(NamedTuple):
    """Sums over pairs of rows (a, b) about some origin; s = ‖a‖², t = ‖b‖²."""

    num_rows: int
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
    def of(cls, a: Tensor, b: Tensor) -> _Products:
        s, t = a.square().sum(dim=1), b.square().sum(dim=1)
        scatters = a.T @ a, b.T @ b, a.T @ b
        return cls(len(a), a.sum(dim=0), b.sum(dim=0), *scatters, s @ t, s @ s, t @ t, s @ a, s @ b, t @ a, t @ b)

    def plus(self, other: _Products) -> _Products:
        sums = (one + two for one, two in zip(self[1:], other[1:], strict=True))
        return _Products(self.num_rows + other.num_rows, *sums)

    def moved(self, u: Tensor, v: Tensor) -> _Products:
        """The same sums of a + u and b + v."""
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
        return _Products(n, p + n * u, q + n * v, aa, bb, ab, st, ss, tt, sa, sb, ta, tb)

    def centred(self) -> _Products:
        """The same sums about the means."""
        return self.moved(-self.sum_a / self.num_rows, -self.sum_b / self.num_rows)

    def cka(self, *, debiased: bool) -> float:
        """CKA of rows about their means."""
        if not debiased:
            cross, one, other = (float(matrix.square().sum()) for matrix in (self.ab, self.aa, self.bb))
            return _ratio(cross, one, other)
        return _ratio(self._hsic("ab"), self._hsic("aa"), self._hsic("bb"))

    def _hsic(self, which: str) -> float:
        """The unbiased HSIC; for rows about their means Σa = Σb = 0, so that K̃1 = −s and 1ᵀK̃1 = −Σs."""
        matrix, products = {"ab": (self.ab, self.st), "aa": (self.aa, self.ss), "bb": (self.bb, self.tt)}[which]
        traces = {"a": self.aa.diagonal().sum(), "b": self.bb.diagonal().sum()}
        return _unbiased(matrix.square().sum() - products, traces[which[0]] * traces[which[1]], products, self.num_rows)


def _unbiased(trace: Tensor, sums: Tensor, rows: Tensor, count: int) -> float:
    """tr(K̃L̃), 1ᵀK̃1·1ᵀL̃1 and 1ᵀK̃L̃1 to the unbiased HSIC."""
    n = count
    return float(trace + sums / ((n - 1) * (n - 2)) - 2 / (n - 2) * rows) / (n * (n - 3))


def _cka_of_kernels(one: Tensor, other: Tensor, *, debiased: bool) -> float:
    """CKA of kernels (N, N) of centred rows."""
    if not debiased:
        return _ratio(*(float((x * y).sum()) for x, y in ((one, other), (one, one), (other, other))))
    one, other = one - one.diagonal().diag(), other - other.diagonal().diag()

    def hsic(x: Tensor, y: Tensor) -> float:
        return _unbiased((x * y).sum(), x.sum() * y.sum(), x.sum(dim=0) @ y.sum(dim=0), len(x))

    return _ratio(hsic(one, other), hsic(one, one), hsic(other, other))


def _ratio(cross: float, one: float, other: float) -> float:
    return cross / math.sqrt(one * other) if one > 0 and other > 0 else math.nan


def _rows(features: object, name: str, num_features: int | None = None, *, first: int = 0) -> Tensor:
    """Finite rows (N, D) in float64."""
    rows, _ = check_rows_of(features, name, num_features)
    if getattr(features, "ndim", 0) != 2 or (num_features is None and 0 in rows.shape):
        raise ValueError(f"`{name}` must have shape (N, D), got {tuple(getattr(features, 'shape', ()))}")
    check_finite(rows, name, first=first)
    return rows.to("cpu" if rows.device.type == "mps" else rows.device).to(torch.float64)


def _check_paired(first: Tensor, second: Tensor) -> None:
    if len(first) != len(second):
        raise ValueError(f"`a` and `b` must be of the same samples, got {len(first)} and {len(second)} rows")


def _directions(rows: Tensor, k: int, name: str) -> Tensor:
    """(D, k) right-singular vectors of the largest singular values."""
    if k > min(rows.shape):
        raise ValueError(f"`k` must be at most min(N, D) = {min(rows.shape)} of `{name}`, got {k}")
    _, values, vectors = torch.linalg.svd(rows, full_matrices=False)
    _check_gap(values, k, name, rounding=max(rows.shape) * np.finfo(np.float64).eps)
    return vectors[:k].T


def _directions_of_scatter(scatter: Tensor, k: int, name: str, count: int) -> Tensor:
    if k > min(len(scatter), count):
        raise ValueError(f"`k` must be at most min(N, D) = {min(len(scatter), count)} of `{name}`, got {k}")
    values, vectors = torch.linalg.eigh(scatter)
    _check_gap(values.flip(0).clamp_min(0).sqrt(), k, name, rounding=1e-7)
    return vectors[:, -k:]


def _check_gap(values: Tensor, k: int, name: str, *, rounding: float) -> None:
    """Singular values (descending) must reach to the k-th, and should fall after it."""
    largest, last = float(values[0]), float(values[k - 1])
    if last <= rounding * largest:
        rank = int((values > rounding * largest).sum())
        raise ValueError(f"`k` must be at most the rank of `{name}`, {rank}, got {k}")
    if k < len(values) and last - float(values[k]) <= _GAP * largest:
        warnings.warn(
            f"singular values {k} and {k + 1} of `{name}` are equal to rounding ({last:.6g}): the top-{k} subspace is "
            "not unique; take another k",
            IllDefinedSubspaceWarning,
            stacklevel=4,
        )


def _angles(first: Tensor, second: Tensor) -> Tensor:
    """Principal angles (k,), ascending, between the ranges of orthonormal columns."""
    second = second.to(first.device)
    cosines = torch.linalg.svdvals(first.T @ second)
    sines = torch.linalg.svdvals(second - first @ (first.T @ second)).flip(0)
    by_sine = torch.asin(sines.clamp(0, 1))
    return torch.where(cosines.square() < 0.5, torch.acos(cosines.clamp(0, 1)), by_sine)
