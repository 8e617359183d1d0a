"""One kernel for the batch's spectrum: the Gram matrix of the smaller side, and the two terms that come from it.

Let Z be the rows, X = Z − 1·mᵀ the centred ones, K = XXᵀ where N < D and XᵀX otherwise. K gives the covariance term;
K plus a mean correction of rank one or two is the uncentred Gram matrix, whose eigenpairs give the dominant term.
Both gradients together are one product of a small matrix with X. Nothing here is of size D×D where N < D.

Precision: a Gram matrix squares the condition number κ, so all of this is float64; from float32 rows the small singular
values then have a relative error of about ε64·κ². Float64 rows would need more than float64 for the same: there the
dominant term takes the triangle of a QR decomposition instead, with a relative error of about ε64·κ.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from . import _gather, _polar

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

BLOCK = 128  # from this number of rows on the Gram matrix is made in blocks, without the upper ones
LARGE = 256  # from this size of the smaller side on the gradient's product is made in float32


class Batch(NamedTuple):
    """The rows of all ranks (of this rank only, where sums travel), and their statistics, in the statistics' dtype."""

    rows: Tensor  # as they came
    centred: Tensor
    mean: Tensor
    gram: Tensor  # of the centred rows, on the smaller side
    num_rows: int
    by_rows: bool  # whether the smaller side is that of the rows
    sums_travel: bool


class CovarianceTerm(NamedTuple):
    """The term, and its gradient as `covariance_slope` times kernel·X − X∘variances (by rows) or X·kernel."""

    value: Tensor
    kernel: Tensor
    variances: Tensor


class DominantTerm(NamedTuple):
    """The term, and its gradient as A·Z (by rows) or Z·A with the symmetric matrix A; empty where not asked for."""

    value: Tensor
    matrix: Tensor


def statistics_dtype(rows: Tensor) -> torch.dtype:
    """Float64, but for devices that have none."""
    return torch.float32 if rows.device.type == "mps" else torch.float64


def global_batch(rows: Tensor, sizes: Sequence[int] | None, group: ProcessGroup | None) -> Batch:
    """Rows travel where all of them are fewer than D; Σz and then XᵀX about the global mean otherwise."""
    count = rows.shape[0] if sizes is None else sum(sizes)
    by_rows = count < rows.shape[1]
    if by_rows and sizes is not None:
        rows, group = _gather.gather_rows(rows, sizes, group), None
    centred = rows.to(statistics_dtype(rows), copy=True)  # a copy of our own, centred in place
    mean = _gather.sum_over_ranks(centred.sum(0), group) / count
    centred.sub_(mean)
    gram = symmetric_product(centred) if by_rows else _gather.sum_over_ranks(centred.mT @ centred, group)
    return Batch(rows, centred, mean, gram, count, by_rows, group is not None)


def symmetric_product(rows: Tensor) -> Tensor:
    """(N, D) to the (N, N) matrix of inner products; in a large one the upper blocks mirror the lower ones."""
    size = rows.shape[0]
    if size < BLOCK:
        return rows @ rows.mT
    top, bottom = rows[: size // 2], rows[size // 2 :]
    cross = bottom @ top.mT
    upper = torch.cat([symmetric_product(top), cross.mT], 1)
    return torch.cat([upper, torch.cat([cross, symmetric_product(bottom)], 1)])


def uncentred_gram(batch: Batch) -> Tensor:
    """ZZᵀ from XXᵀ by a correction of rank two, ZᵀZ from XᵀX by one of rank one."""
    if not batch.by_rows:
        return torch.addcmul(batch.gram, batch.mean, batch.mean[:, None], value=batch.num_rows)
    projection = batch.centred @ batch.mean + (batch.mean * batch.mean).sum() / 2
    return batch.gram + projection + projection[:, None]


def covariance_term(batch: Batch) -> CovarianceTerm:
    """(1/D) Σ_{i≠j} C_ij²: by rows (‖K‖² − Σ_d (Σ_i X_id²)²) / (D·(N−1)²), without a D×D matrix."""
    scale = covariance_slope(batch.num_rows, batch.mean.shape[0]) / 4
    if not batch.by_rows:
        kernel = batch.gram.clone()
        kernel.diagonal().zero_()
        return CovarianceTerm((kernel * kernel).sum() * scale, kernel, kernel.new_empty(0))
    variances = (batch.centred * batch.centred).sum(0)
    squares = (batch.gram * batch.gram).sum() - (variances * variances).sum()
    return CovarianceTerm(squares.clamp_min(0) * scale, batch.gram, variances)


def covariance_slope(count: int, features: int) -> float:
    """4 / (D·(N−1)²), the factor of the covariance term's gradient."""
    return 4 / (features * (count - 1) ** 2)


def dominant_term(batch: Batch, top_k: int, *, exact: bool, floor: float, gradient: bool = True) -> DominantTerm:
    """−(1/k) Σ_{i≤k} σ_i / Σσ; 0 for a zero matrix. Where σ_i = 0 there is no gradient (the smallest subgradient).

    In the gradient Σσ counts as at least ``floor``, so that it is representable in the input's dtype.
    """
    decompose = _by_matrix_products if _polar.is_taken(batch.rows.device) else _by_eigenpairs
    share, matrix = decompose(batch, top_k, exact=exact, floor=floor, gradient=gradient)
    not_finite = batch.mean.sum() * 0  # NaN where an input is NaN or infinite
    return DominantTerm(not_finite - share, matrix)


def _by_eigenpairs(batch: Batch, top_k: int, *, exact: bool, floor: float, gradient: bool) -> tuple[Tensor, Tensor]:
    """(1/k) Σ_{i≤k} σ_i / Σσ, and A = Σ_i (∂L/∂σ_i)/σ_i · u_i u_iᵀ (empty where no ``gradient`` is asked for).

    With the share s the slopes are (s − [i ≤ k]/k) / Σσ, where Σσ counts as at least ``floor``.
    """
    values, inverses, vectors = (_from_rows if exact and not batch.sums_travel else _from_gram)(batch)
    total = values.sum()
    share = values[-top_k:].sum() / (top_k * total.clamp_min(torch.finfo(total.dtype).tiny))
    if not gradient:
        return share, values.new_empty(0)
    slopes = inverses / total.clamp_min(floor)
    weights = slopes * share
    weights[-top_k:].sub_(slopes[-top_k:], alpha=1 / top_k)
    return share, (vectors * weights) @ vectors.mT


def _by_matrix_products(
    batch: Batch, top_k: int, *, exact: bool, floor: float, gradient: bool
) -> tuple[Tensor, Tensor]:
    """The same without waiting for the device; but not for float64 rows, whose Gram matrix would cost them digits."""
    if exact and not batch.sums_travel:
        return _by_eigenpairs(batch, top_k, exact=exact, floor=floor, gradient=gradient)
    return _polar.shares(uncentred_gram(batch), top_k, floor=floor, gradient=gradient)[:2]


def _from_gram(batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Singular values, ascending, inverses and vectors; λ ≤ (4 + min(N, D)/4)·ε·λ_max is noise, and both are 0."""
    gram = _finite(uncentred_gram(batch))
    eigenvalues, vectors = torch.linalg.eigh(gram)
    threshold = eigenvalues[-1] * ((4 + gram.shape[0] / 4) * torch.finfo(gram.dtype).eps)
    inverses = torch.where(eigenvalues > threshold, eigenvalues, torch.inf).rsqrt()
    return eigenvalues * inverses, inverses, vectors


def _from_rows(batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """The same by QR and the SVD of the triangle; σ ≤ max(N, D)·ε·σ_max is noise."""
    rows = _finite(batch.rows.mT if batch.by_rows else batch.rows)
    triangle = torch.linalg.qr(rows, mode="r")[1] if rows.shape[0] > rows.shape[1] else rows
    vectors, values, _ = torch.linalg.svd(triangle.mT)
    threshold = values[0] * (rows.shape[0] * torch.finfo(rows.dtype).eps)
    kept = values > threshold
    inverses = torch.where(kept, values, torch.inf).reciprocal()
    return torch.where(kept, values, 0.0).flip(0), inverses.flip(0), vectors.flip(1)


def _finite(matrix: Tensor) -> Tensor:
    """LAPACK raises on NaN; `dominant_term` makes it visible in the value."""
    return torch.nan_to_num(matrix, nan=0.0, posinf=0.0, neginf=0.0)
