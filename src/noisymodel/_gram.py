"""One kernel for the batch's spectrum: the Gram matrix of the smaller side, and the two terms that come from it.

Let Z be the rows, X = Z − 1·mᵀ the centred ones, K = XXᵀ where N < D and XᵀX otherwise. K gives the covariance term;
K plus a mean correction of rank one or two is the uncentred Gram matrix, whose eigenpairs give the dominant term.
Both gradients together are one product of a small matrix with X. Nothing here is of size D×D where N < D.

Precision: a Gram matrix squares the condition number κ, so all of this is float64, but for what `_mixed` asks for; from
float32 rows the small singular values then have a relative error of about ε64·κ². Float64 rows would need more than
float64 for the same: there the dominant term takes the triangle of a QR decomposition instead, with a relative error of
about ε64·κ.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from . import _gather, _polar

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

STRIPS = 4, 8  # of a symmetric product's rows; each is multiplied by the rows up to its own end only
STRIPPED = 128, 512  # the sizes from which on so many are worth it
BLOCK = 2**18  # elements that are held in the statistics' dtype at a time


class Batch(NamedTuple):
    """The rows of all ranks (of this rank only, where sums travel), and their statistics, in the statistics' dtype.

    Where the smaller side is that of the features, the variances and the projections are empty.
    """

    rows: Tensor  # as they came
    mean: Tensor
    gram: Tensor  # K, of the centred rows, on the smaller side
    variances: Tensor  # (D,), Σ_i X_id²
    projections: Tensor  # (N,), X·m
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


def has_float64(device: torch.device) -> bool:
    """Whether the statistics can be made on this device; where not, rows come here from the CPU."""
    return device.type != "mps"


def global_batch(
    rows: Tensor, sizes: Sequence[int] | None, group: ProcessGroup | None, dtype: torch.dtype = torch.float64
) -> Batch:
    """Rows travel where all of them are fewer than D; Σz and then XᵀX about the global mean otherwise."""
    count = rows.shape[0] if sizes is None else sum(sizes)
    if count < rows.shape[1]:
        return _batch_by_rows(rows if sizes is None else _gather.gather_rows(rows, sizes, group), dtype)
    first, *others = blocks(rows, 0, at_least=rows.shape[1])
    centred = as_statistics(first, dtype)
    total = centred.sum(0)
    for part in others:
        total.add_(as_statistics(part, dtype).sum(0))
    mean = _gather.sum_over_ranks(total, group) / count
    gram = symmetric_product(centred.sub_(mean).mT)
    for part in others:
        gram.add_(symmetric_product(as_statistics(part, dtype).sub_(mean).mT))
    gram = _gather.sum_over_ranks(gram, group)
    nothing = mean.new_empty(0)
    return Batch(rows, mean, gram, nothing, nothing, count, False, group is not None)


def _batch_by_rows(rows: Tensor, dtype: torch.dtype) -> Batch:
    """A column's statistics are its own: one pass over blocks of columns."""
    first, *others = blocks(rows, 1, at_least=rows.shape[0])
    gram, projections, mean, variance = _statistics_by_rows(first, dtype)
    if not others:
        return Batch(rows, mean, gram, variance, projections, rows.shape[0], True, False)
    means, variances = [mean], [variance]
    for part in others:
        gram_of_part, projections_of_part, mean, variance = _statistics_by_rows(part, dtype)
        gram.add_(gram_of_part)
        projections.add_(projections_of_part)
        means.append(mean)
        variances.append(variance)
    return Batch(rows, torch.cat(means), gram, torch.cat(variances), projections, rows.shape[0], True, False)


def _statistics_by_rows(part: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What some columns add to K and X·m, and their means and variances."""
    centred = as_statistics(part, dtype)
    mean = centred.mean(0)
    centred.sub_(mean)
    return symmetric_product(centred), centred @ mean, mean, (centred * centred).sum(0)


def blocks(rows: Tensor, dim: int, *, at_least: int = 1) -> Sequence[Tensor]:
    """Parts that are small in the statistics' dtype; one part where `torch.compile` shall see no loop.

    ``at_least`` that many rows (0) or columns (1), so that products with a small matrix cost more than adding them up.
    """
    limit = BLOCK if rows.device.type == "cpu" else 64 * BLOCK  # elsewhere each step of a loop is a launch
    if torch.compiler.is_compiling() or rows.numel() <= limit:
        return [rows]
    return rows.split(max(at_least, limit // rows.shape[1 - dim]), dim)


def as_statistics(rows: Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
    """A copy of our own in the statistics' dtype."""
    return rows.to(dtype, copy=True)


def symmetric_product(rows: Tensor) -> Tensor:
    """(N, D) to the (N, N) matrix of inner products; of a large one the upper part mirrors the lower one."""
    return product_of_symmetric(rows, rows)


def product_of_symmetric(left: Tensor, right: Tensor) -> Tensor:
    """left·rightᵀ of two (N, D) matrices for which it is symmetric."""
    size = left.shape[0]
    if size < STRIPPED[0]:
        return left @ right.mT
    product = left.new_empty(size, size)
    step = -(-size // STRIPS[size >= STRIPPED[1]])
    for start in range(0, size, step):
        end = min(start + step, size)
        product[start:end, :end] = left[start:end] @ right[:end].mT
        product[:start, start:end] = product[start:end, :start].mT
    return product


def uncentred_gram(batch: Batch) -> Tensor:
    """ZZᵀ from XXᵀ by a correction of rank two, ZᵀZ from XᵀX by one of rank one."""
    if not batch.by_rows:
        return torch.addcmul(batch.gram, batch.mean, batch.mean[:, None], value=batch.num_rows)
    projection = torch.add(batch.projections, (batch.mean * batch.mean).sum(), alpha=0.5)
    return (batch.gram + projection).add_(projection[:, None])


def covariance_term(batch: Batch) -> CovarianceTerm:
    """(1/D) Σ_{i≠j} C_ij²: by rows (‖K‖² − Σ_d (Σ_i X_id²)²) / (D·(N−1)²), without a D×D matrix."""
    scale = covariance_slope(batch.num_rows, batch.mean.shape[0]) / 4
    if not batch.by_rows:
        kernel = torch.diagonal_scatter(batch.gram, torch.zeros_like(batch.mean))
        return CovarianceTerm(_square(kernel) * scale, kernel, kernel.new_empty(0))
    squares = _square(batch.gram) - _square(batch.variances)
    return CovarianceTerm(squares.clamp_min(0) * scale, batch.gram, batch.variances)


def _square(matrix: Tensor) -> Tensor:
    """The sum of squares."""
    return torch.linalg.vector_norm(matrix).square()


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


def is_plain(rows: Tensor) -> bool:
    """On a CPU and seen by no tracer or transform: there, numbers may be looked at, and NumPy's are the cheapest."""
    if rows.device.type != "cpu" or _polar.is_taken(rows.device) or torch.compiler.is_compiling():
        return False
    return not _polar.in_torch_func() and not _polar.is_watched()


def _by_eigenpairs(batch: Batch, top_k: int, *, exact: bool, floor: float, gradient: bool) -> tuple[Tensor, Tensor]:
    """(1/k) Σ_{i≤k} σ_i / Σσ, and A = Σ_i (∂L/∂σ_i)/σ_i · u_i u_iᵀ (empty where no ``gradient`` is asked for).

    With the share s the slopes are (s − [i ≤ k]/k) / Σσ, where Σσ counts as at least ``floor``.
    """
    values, inverses, vectors = (_from_rows if exact and not batch.sums_travel else _from_gram)(batch, gradient)
    total = values.sum()
    share = values[-top_k:].sum() / (top_k * total.clamp_min(torch.finfo(total.dtype).tiny))
    if not gradient:
        return share, values.new_empty(0)
    slopes = inverses / total.clamp_min(floor)
    weights = slopes * share
    weights[-top_k:].sub_(slopes[-top_k:], alpha=1 / top_k)
    return share, product_of_symmetric(vectors * weights, vectors)


def _by_matrix_products(
    batch: Batch, top_k: int, *, exact: bool, floor: float, gradient: bool
) -> tuple[Tensor, Tensor]:
    """The same without waiting for the device; but not for float64 rows, whose Gram matrix would cost them digits."""
    if exact and not batch.sums_travel:
        return _by_eigenpairs(batch, top_k, exact=exact, floor=floor, gradient=gradient)
    share, matrix, *_ = _polar.shares(uncentred_gram(batch), top_k, floor=floor, gradient=gradient)
    return share, matrix if batch.by_rows else matrix.mT


def _from_gram(batch: Batch, gradient: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Singular values, ascending, inverses and vectors; λ ≤ (4 + min(N, D)/4)·ε·λ_max is noise, and both are 0.

    Without a gradient there are no vectors.
    """
    gram = _finite(uncentred_gram(batch))
    eigenvalues, vectors = torch.linalg.eigh(gram) if gradient else (torch.linalg.eigvalsh(gram), gram)
    threshold = eigenvalues[-1] * ((4 + gram.shape[0] / 4) * torch.finfo(gram.dtype).eps)
    inverses = torch.where(eigenvalues > threshold, eigenvalues, torch.inf).rsqrt()
    return eigenvalues * inverses, inverses, vectors


def _from_rows(batch: Batch, gradient: bool) -> tuple[Tensor, Tensor, Tensor]:
    """The same by QR and the SVD of the triangle; σ ≤ max(N, D)·ε·σ_max is noise."""
    rows = _finite(batch.rows.mT if batch.by_rows else batch.rows)
    mode = "reduced" if torch.compiler.is_compiling() else "r"  # under vmap of grad the compiler wants a derivative
    triangle = torch.linalg.qr(rows, mode=mode)[1] if rows.shape[0] > rows.shape[1] else rows
    vectors, values, _ = torch.linalg.svd(triangle.mT) if gradient else (triangle, torch.linalg.svdvals(triangle), None)
    threshold = values[0] * (rows.shape[0] * torch.finfo(rows.dtype).eps)
    kept = values > threshold
    inverses = torch.where(kept, values, torch.inf).reciprocal()
    return torch.where(kept, values, 0.0).flip(0), inverses.flip(0), vectors.flip(1)


def _finite(matrix: Tensor) -> Tensor:
    """LAPACK raises on NaN; `dominant_term` makes it visible in the value."""
    return torch.nan_to_num(matrix, nan=0.0, posinf=0.0, neginf=0.0)
