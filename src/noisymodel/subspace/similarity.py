"""Linear CKA: how alike the geometry of the same samples is in two feature matrices."""

from __future__ import annotations

from torch import Tensor

from .._checks import check_flag
from ..spectrum.analysis import of_moderate_size, read_matrix
from ..spectrum.singular_values import Array
from .products import Products, check_paired, ratio, unbiased


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
    debiased = check_flag(debiased, "debiased")
    first, second = read_matrix(a, "a"), read_matrix(b, "b")
    check_paired(first, second)
    least = 4 if debiased else 2
    if len(first) < least:
        raise ValueError(
            f"`a` must have at least {least} rows{' to be debiased' if debiased else ''}, got {len(first)}"
        )
    first, second = (of_moderate_size(rows)[0] for rows in (first, second))  # CKA does not depend on the scale
    second = second.to(first.device)
    if max(first.shape[1], second.shape[1]) <= len(first):
        return Products.of(first, second).cka(debiased=debiased)
    one, other = first - first.mean(dim=0), second - second.mean(dim=0)
    return _cka_of_kernels(one @ one.T, other @ other.T, debiased=debiased)


def _cka_of_kernels(one: Tensor, other: Tensor, *, debiased: bool) -> float:
    """CKA of kernels (N, N) of centred rows."""
    if not debiased:
        return ratio(*(float((x * y).sum()) for x, y in ((one, other), (one, one), (other, other))))
    one, other = one - one.diagonal().diag(), other - other.diagonal().diag()

    def hsic(x: Tensor, y: Tensor) -> float:
        return unbiased((x * y).sum(), x.sum() * y.sum(), x.sum(dim=0) @ y.sum(dim=0), len(x))

    return ratio(hsic(one, other), hsic(one, one), hsic(other, other))
