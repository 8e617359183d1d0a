"""The dominant term of float32 rows from a float32 eigendecomposition, its two ends corrected in float64.

A float32 Gram matrix loses what is below its rounding, ε32·λ_max: the small eigenvalues, and the directions of leading
ones that lie close together. Everything between is good enough, and costs half. So the eigenvectors V of the float32
matrix are kept, and their lowest eighth and the k leading ones, B, are made precise from the rows themselves:

- H = BᵀGB and R = GB − BH in float64, which is a product of the rows with few vectors; H is diagonalised, B turned.
- f(G) = B·f(H)·Bᵀ + D·Bᵀ + B·Dᵀ + V·f(Λ)·Vᵀ over the other V, D = Σ_ij f[h_i, λ_j]·(v_jᵀR_i)·v_j·e_iᵀ: the first order
  of how B and the rest are still coupled, with the divided differences of f.

What then is left of the gradient's error is estimated from the eigenvalues at hand (`_error`). Where it may exceed
`LIMIT`, `dominant_term` gives up, before the eigendecomposition if it can, and the caller takes float64 throughout.
That is a branch on data: for the CPU, outside `torch.compile` and `torch.func` only.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from . import _gram

SMALLEST = 128  # of min(N, D): below it float64 costs no more
CORRECTED = 8  # the lowest 1/8 of the eigenvalues
LIMIT = 1e-5  # relative error of the gradient (Frobenius norm), estimated; measured ones lie below the estimate
GAP = 5e-4  # rounding over the gap below σ_k²: its square is what the first order leaves
COUPLING = 0.1  # rounding over the geometric mean of the smallest eigenvalue and the first that is not corrected
CANCELLATION = 100.0  # of the covariance's gradient, and of the centring
SCALE = 1e-24, 1e24  # of the eigenvalues, so that their squares are normal numbers in float32
PROBES = 8  # of the look ahead
PROMISING = 0.7  # the look ahead has 0 to 0.65 of the estimate that follows


class _Ends(NamedTuple):
    """The corrected eigenpairs, float64, ascending: `low` lowest ones, then the k leading ones."""

    values: Tensor
    vectors: Tensor  # one a row
    residuals: Tensor  # G·b − h·b, one a row


def is_possible(rows: Tensor, top_k: int) -> bool:
    """Whether to try: float32 or half-precision rows on a CPU, large enough, and no tracer that looks on."""
    smaller = min(rows.shape)
    return (
        smaller >= SMALLEST
        and 0 < top_k <= smaller // CORRECTED
        and rows.dtype != torch.float64
        and _gram.is_plain(rows)
    )


def dominant_term(batch: _gram.Batch, top_k: int, *, floor: float) -> _gram.DominantTerm | None:
    """The term and its matrix A in float32 from a float32 batch; None where float64 is needed."""
    gram = _gram.uncentred_gram(batch)
    low = gram.shape[0] // CORRECTED
    if not _is_promising(gram, low, top_k):
        return None
    eigenvalues, vectors = torch.linalg.eigh(gram)
    middle = slice(low, gram.shape[0] - top_k)
    chosen = torch.cat([vectors[:, :low], vectors[:, middle.stop :]], 1)
    ends = _corrected(batch, chosen)
    inner, between = eigenvalues[middle].double(), vectors[:, middle]
    roots, others = ends.values.sqrt(), inner.sqrt()
    total = roots.sum() + others.sum()
    share = roots[-top_k:].sum() / (top_k * total)
    if not _is_precise(batch, ends.values, inner, share, top_k) or not total >= floor:
        return None
    slopes = share / roots
    slopes[-top_k:] -= 1 / (top_k * roots[-top_k:])
    coupling = -share / (torch.outer(roots, others) * (roots[:, None] + others))
    coupling[-top_k:] -= 1 / (top_k * roots[-top_k:, None] * (ends.values[-top_k:, None] - inner))
    coupled = ends.residuals.float() @ between
    half = torch.addmm((ends.vectors * (slopes / 2)[:, None]).float(), coupled.mul_(coupling), between.mT)
    outer = half.div_(total).mT @ ends.vectors.float()
    matrix = _gram.product_of_symmetric(between * (share / (total * others)).float(), between)
    return _gram.DominantTerm(-share, matrix.add_(outer).add_(outer.mT))


def _corrected(batch: _gram.Batch, chosen: Tensor) -> _Ends:
    """Rayleigh–Ritz in float64 on the span of some float32 eigenvectors."""
    vectors = chosen.mT.double()
    triangle = torch.linalg.cholesky_ex(vectors @ vectors.mT)[0]
    vectors = torch.linalg.solve_triangular(triangle, vectors, upper=False).contiguous()  # or products are slow
    images = torch.zeros_like(vectors)
    for part in _gram.blocks(batch.rows, 1 if batch.by_rows else 0, at_least=vectors.shape[1]):
        wide = part.double() if batch.by_rows else part.double().mT
        images.addmm_(vectors @ wide, wide.mT)
    values, turn = torch.linalg.eigh(images @ vectors.mT)
    vectors, images = turn.mT @ vectors, turn.mT @ images
    return _Ends(values, vectors, torch.addcmul(images, vectors, values[:, None], value=-1))


def _is_promising(gram: Tensor, low: int, top_k: int) -> bool:
    """A cheap look ahead: by a Cholesky factor, and by how much of Σ1/λ² is likely to lie above the lowest ones.

    With y = G⁻¹b and x = G⁻²b of random signs b, |y|² is Σ1/λ² and |y|⁴/|x|² the number of those that make it up.
    """
    size = gram.shape[0]
    trace, largest = gram.diagonal().sum(), torch.linalg.vector_norm(gram)
    largest = largest * largest / trace  # at most λ_max
    factor, failed = torch.linalg.cholesky_ex(gram / largest)
    if failed.item():
        return False
    signs = torch.randn(size, PROBES, generator=torch.Generator().manual_seed(size)).sign_()
    once = torch.cholesky_solve(signs, factor)
    twice = torch.cholesky_solve(once, factor)
    squares, fourths = once.double().square().sum() / PROBES, twice.double().square().sum() / PROBES
    above = squares * torch.exp(-2 * low * fourths / (squares * squares))
    share = (largest.double() / (size * trace)).sqrt()  # at most σ_1/Σσ
    return bool(_error(above.sqrt(), share, size, top_k) < PROMISING * LIMIT)


def _is_precise(batch: _gram.Batch, ends: Tensor, inner: Tensor, share: Tensor, top_k: int) -> bool:
    """Whether every estimate of an error is small; False where one is not a number."""
    size, largest = ends.shape[0] + inner.shape[0], ends[-1]
    rounding = torch.finfo(torch.float32).eps * largest
    spread = batch.gram.diagonal().sum().double()
    squares = batch.gram.square()
    own = batch.variances.square() if batch.by_rows else squares.diagonal()
    held = (
        (_error((inner.pow(-2).sum()).sqrt() * largest, share, size, top_k), LIMIT),
        (_product_error(ends, inner, share, top_k), LIMIT),
        (rounding / (ends[-top_k] - inner[-1]), GAP),
        (rounding / (ends[0] * inner[0]).sqrt(), COUPLING),
        (largest * spread / (squares.sum().double() - own.sum().double()), CANCELLATION),
        (batch.num_rows * batch.mean.double().square().sum() / spread, CANCELLATION),
        (SCALE[0] / ends[0], 1.0),
        (largest / SCALE[1], 1.0),
    )
    return all(0 <= found <= limit for found, limit in ((float(value), limit) for value, limit in held))


def _error(inverse: Tensor, share: Tensor, size: int, top_k: int) -> Tensor:
    """Relative error of the gradient by the rounding of G, (Σ 1/λ²)^(1/2)·λ_max given; 2.5/2 and ε32 as measured."""
    return 1.25 * torch.finfo(torch.float32).eps * inverse * _relative(share, size, top_k)


def _product_error(ends: Tensor, inner: Tensor, share: Tensor, top_k: int) -> Tensor:
    """Relative error by the rounding of the gradient's float32 product, 3·ε32·‖G^(−1/2)‖·‖Z‖/√n as measured."""
    size = ends.shape[0] + inner.shape[0]
    norms = (ends.reciprocal().sum() * (ends.sum() + inner.sum()) / size).sqrt()
    return 3 * torch.finfo(torch.float32).eps * norms * _relative(share, size, top_k)


def _relative(share: Tensor, size: int, top_k: int) -> Tensor:
    """What the polar factor's error is of the gradient, whose norm is ((n − k)·s² + k·(s − 1/k)²)^(1/2) / Σσ."""
    return share / (size * share * share - 2 * share + 1 / top_k).sqrt()
