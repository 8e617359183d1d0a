"""The dominant term on a CPU that nothing looks at: in float32 where that is precise enough, in float64 elsewhere.

A float32 Gram matrix loses what is below its rounding, ε32·λ_max: the small eigenvalues, and the directions of leading
ones that lie close together. Everything between is good enough, and costs half. So the eigenvectors V of the float32
matrix are kept, and those that need it of the lowest eighth and of the k leading ones, B, are made precise from the
rows themselves:

- H = BᵀGB and R = GB − BH in float64, which is a product of the rows with few vectors; H is diagonalised, B turned.
- f(G) = B·f(H)·Bᵀ + D·Bᵀ + B·Dᵀ + V·f(Λ)·Vᵀ over the other V, D = Σ_ij f[h_i, λ_j]·(v_jᵀR_i)·v_j·e_iᵀ: the first order
  of how B and the rest are still coupled, with the divided differences of f.

What then is left of the gradient's error is estimated from the eigenvalues at hand (`_error`, `_leading_error`). Where
it may exceed its limit, `dominant_term` gives up, before the eigendecomposition if it can, and the caller takes
`dominant_term_in_float64`; of that one the gradient's product may still be float32 (`_product_error`). These are
branches on data: for the CPU, outside `torch.compile` and `torch.func` only.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from . import _gram, _polar

SMALLEST = 128  # of min(N, D): below it float64 costs no more
CORRECTED = 8  # at most the lowest 1/8 of the eigenvalues
LEADING = 2e-5  # the same by the leading eigenvectors alone; the median of what is measured is a third of the estimate
ROOM = 0.5  # of the limit, to which fewer than these are corrected
LIMIT = 1e-5  # relative error of the gradient (Frobenius norm), estimated; measured ones lie below the estimate
GAP = 5e-4  # rounding over the gap below σ_k²: its square is what the first order leaves
COUPLING = 0.1  # rounding over the geometric mean of the smallest eigenvalue and the first that is not corrected
CANCELLATION = 100.0  # of the covariance's gradient, and of the centring
EPSILON = float(np.finfo(np.float32).eps)
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
    if not _is_promising(gram, top_k):
        return None
    eigenvalues, vectors = torch.linalg.eigh(gram)
    found = eigenvalues.numpy().astype(np.float64)
    low, high = _numbers_to_correct(found, top_k)
    middle = slice(low, len(found) - high)
    inner, between = found[middle], vectors[:, middle]
    ends = _corrected(batch, torch.cat([vectors[:, :low], vectors[:, middle.stop :]], 1)) if low + high else None
    values = inner[:0] if ends is None else ends.values.numpy()
    if not min([inner[0], *values[:1]]) > 0:
        return None
    roots, others = np.sqrt(values), np.sqrt(inner)
    total = float(roots.sum() + others.sum())
    share = float((roots if high else others)[-top_k:].sum()) / (top_k * total)
    if not _is_precise(batch, values, inner, share, top_k) or not total >= floor:
        return None
    weights = share / (total * others)
    if not high:
        weights[-top_k:] -= 1 / (top_k * total * others[-top_k:])
    left, right = between * _float32(weights), between
    if ends is not None:
        half, corrected = _coupled(ends, between, inner, share, top_k, high).div_(total), ends.vectors.float()
        left = torch.cat([left.mT, half, corrected]).mT
        right = torch.cat([between.mT, corrected, half]).mT
    matrix = _gram.product_of_symmetric(left, right)
    return _gram.DominantTerm(torch.scalar_tensor(-share, dtype=torch.float64), matrix)


def _coupled(ends: _Ends, between: Tensor, inner: np.ndarray, share: float, top_k: int, high: int) -> Tensor:
    """Half of what the corrected vectors have of A·Σσ, and their coupling with the others, (corrected, n)."""
    values = ends.values.numpy()
    roots, others = np.sqrt(values), np.sqrt(inner)
    slopes = share / roots
    coupling = -share / (np.outer(roots, others) * (roots[:, None] + others))
    if high:
        slopes[-top_k:] -= 1 / (top_k * roots[-top_k:])
        coupling[-top_k:] -= 1 / (top_k * roots[-top_k:, None] * (values[-top_k:, None] - inner))
    else:
        coupling[:, -top_k:] += 1 / (top_k * others[-top_k:] * (values[:, None] - inner[-top_k:]))
    coupled = (ends.residuals.float() @ between).mul_(_float32(coupling))
    return torch.addmm((ends.vectors * torch.from_numpy(slopes / 2)[:, None]).float(), coupled, between.mT)


def _float32(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))


def _numbers_to_correct(eigenvalues: np.ndarray, top_k: int) -> tuple[int, int]:
    """How many of the lowest eigenvalues, at most an eighth, and of the k leading ones must be corrected.

    What is left then has room to `LIMIT`.
    """
    size, most = len(eigenvalues), len(eigenvalues) // CORRECTED
    with np.errstate(all="ignore"):
        roots = np.sqrt(eigenvalues.clip(0))
        share = roots[-top_k:].sum() / (top_k * roots.sum())
        inverses = np.sqrt((eigenvalues[:-top_k][::-1] ** -2).cumsum()[::-1][: most + 1]) * eigenvalues[-1]
        enough = (_error(inverses, share, size, top_k) < ROOM * LIMIT) & (eigenvalues[: most + 1] > 0)
        low = int(enough.argmax()) if enough.any() else most
        return low, 0 if _leading_error(eigenvalues, share, top_k) < LEADING else top_k


def dominant_term_in_float64(
    batch: _gram.Batch, top_k: int, *, floor: float, gradient: bool, narrow: bool
) -> _gram.DominantTerm:
    """The term from a float64 batch; with ``narrow``, A is float32 where the gradient's product may be.

    The vectors are NumPy's: at N = 64 the time goes into small operations.
    """
    if not math.isfinite(batch.mean.sum().item()):
        return _gram.DominantTerm(batch.mean.new_full((), math.nan), torch.full_like(batch.gram, math.nan))
    gram = _gram.uncentred_gram(batch)
    eigenvalues, vectors = torch.linalg.eigh(gram) if gradient else (torch.linalg.eigvalsh(gram), gram)
    found = eigenvalues.numpy()
    values = np.sqrt(np.where(found > found[-1] * _polar.noise_level(len(found), gram.dtype), found, 0.0))
    total = float(values.sum())
    share = float(values[-top_k:].sum()) / (top_k * max(total, torch.finfo(gram.dtype).tiny))
    term = torch.scalar_tensor(-share, dtype=gram.dtype)
    if not gradient:
        return _gram.DominantTerm(term, gram.new_empty(0))
    slopes = np.divide(1 / max(total, floor), values, out=np.zeros_like(values), where=values > 0)
    weights = slopes * share
    weights[-top_k:] -= slopes[-top_k:] / top_k
    matrix = _gram.product_of_symmetric(vectors * torch.from_numpy(weights), vectors)
    narrow = narrow and total >= floor and _allows_product(batch, found, share, top_k)
    return _gram.DominantTerm(term, matrix.float() if narrow else matrix)


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


def _is_promising(gram: Tensor, top_k: int) -> bool:
    """A cheap look ahead: by a Cholesky factor, and by how much of Σ1/λ² is likely to lie above the lowest ones.

    With y = G⁻¹b and x = G⁻²b of random signs b, |y|² is Σ1/λ² and |y|⁴/|x|² the number of those that make it up.
    """
    size = gram.shape[0]
    trace, largest = float(gram.diagonal().sum()), float(torch.linalg.vector_norm(gram))
    if not trace > 0:
        return False
    largest *= largest / trace  # at most λ_max
    factor, failed = torch.linalg.cholesky_ex(gram)
    if failed.item():
        return False
    once = torch.cholesky_solve(_signs(size) * largest, factor)
    twice = torch.cholesky_solve(once, factor)
    squares = float(torch.linalg.vector_norm(once)) ** 2 / PROBES
    fourths = (float(torch.linalg.vector_norm(twice)) * largest) ** 2 / PROBES
    if not 0 < squares < math.inf:
        return False
    above = squares * math.exp(-2 * (size // CORRECTED) * fourths / (squares * squares))
    share = math.sqrt(largest / (size * trace))  # at most σ_1/Σσ
    return bool(_error(math.sqrt(above), share, size, top_k) < PROMISING * LIMIT)


@lru_cache(maxsize=16)
def _signs(size: int) -> Tensor:
    """The same for every batch of a size, so that the choice hangs on the batch alone."""
    return torch.randn(size, PROBES, generator=torch.Generator().manual_seed(size)).sign_()


def _is_precise(batch: _gram.Batch, ends: np.ndarray, inner: np.ndarray, share: float, top_k: int) -> bool:
    """Whether every estimate of an error is small; False where one is not a number."""
    eigenvalues = np.sort(np.concatenate([ends, inner]))
    size, largest = len(eigenvalues), float(eigenvalues[-1])
    rounding = EPSILON * largest
    held = [
        (_error(math.sqrt((inner**-2.0).sum()) * largest, share, size, top_k), LIMIT),
        (_product_error(eigenvalues, share, top_k), LIMIT),
        *_of_the_product(batch, largest),
        (SCALE[0] / float(eigenvalues[0]), 1.0),
        (largest / SCALE[1], 1.0),
    ]
    if len(ends) and ends[-1] > inner[-1]:
        held.append((rounding / (ends[-top_k] - inner[-1]), GAP))
    else:
        held.append((_leading_error(eigenvalues, share, top_k), LEADING))
    if len(ends) and ends[0] < inner[0]:
        held.append((rounding / math.sqrt(ends[0] * inner[0]), COUPLING))
    return all(0 <= found <= limit for found, limit in held)


def _of_the_product(batch: _gram.Batch, largest: float) -> tuple[tuple[float, float], ...]:
    """What the gradient's float32 product loses by the covariance's differences, and by the centring; with limits."""
    spread = float(batch.gram.diagonal().sum())
    squares = float(torch.linalg.vector_norm(batch.gram)) ** 2
    own = float(torch.linalg.vector_norm(batch.variances if batch.by_rows else batch.gram.diagonal())) ** 2
    mean = batch.num_rows * float(torch.linalg.vector_norm(batch.mean)) ** 2
    cancelled = largest * spread / (squares - own) if squares != own else math.inf
    return (cancelled, CANCELLATION), (mean / spread if spread else math.inf, CANCELLATION)


def _allows_product(batch: _gram.Batch, eigenvalues: np.ndarray, share: float, top_k: int) -> bool:
    """Whether the gradient's product may be made in float32 although the statistics are float64."""
    if not SCALE[0] < eigenvalues[0] <= eigenvalues[-1] < SCALE[1]:
        return False
    held = (_product_error(eigenvalues, share, top_k), LIMIT), *_of_the_product(batch, float(eigenvalues[-1]))
    return all(0 <= found <= limit for found, limit in held)


def _error(inverse: Any, share: float, size: int, top_k: int) -> Any:
    """Relative error of the gradient by the rounding of G, (Σ 1/λ²)^(1/2)·λ_max given; 2.5/2 and ε32 as measured."""
    return 1.25 * EPSILON * inverse * _relative(share, size, top_k)


def _leading_error(eigenvalues: np.ndarray, share: float, top_k: int) -> float:
    """Relative error by how rounding turns the k leading eigenvectors towards the others, to first order.

    (1/k)·e·(2·Σ_{i≤k<j} 1/(λ_i − λ_j)²)^(1/2) with entries that are wrong by e = ε32·λ_max: the largest measured.
    """
    size = len(eigenvalues)
    gaps = eigenvalues[-top_k:, None] - eigenvalues[:-top_k]
    turned = math.sqrt(2 * (gaps**-2.0).sum()) * EPSILON * float(eigenvalues[-1])
    return turned / top_k * _relative(share, size, top_k) / share


def _product_error(eigenvalues: np.ndarray, share: float, top_k: int) -> float:
    """Relative error by the rounding of the gradient's float32 product, 3·ε32·‖G^(−1/2)‖·‖Z‖/√n as measured."""
    size = len(eigenvalues)
    norms = math.sqrt((1 / eigenvalues).sum() * eigenvalues.sum() / size)
    return 3 * EPSILON * norms * _relative(share, size, top_k)


def _relative(share: float, size: int, top_k: int) -> float:
    """What the polar factor's error is of the gradient, whose norm is ((n − k)·s² + k·(s − 1/k)²)^(1/2) / Σσ."""
    norm = size * share * share - 2 * share + 1 / top_k
    return share / math.sqrt(norm) if norm > 0 else math.inf
