"""The dominant term of a Gram matrix by matrix products alone: no LAPACK, no branch on data, no wait for the device.

An eigendecomposition on a GPU makes the host wait, and no CUDA graph can hold it. With the Gram matrix G = ZZᵀ two
functions of G are enough: P = G^(−1/2), for Σσ = tr(G·P) and the polar factor P·Z, and Π, the projector on the k
leading eigenvectors, for Σ_{i≤k} σ_i = tr(Π·G·P). The single vectors are never needed: the gradient is A·Z with
A = (s·Q·P·Q + (s − 1/k)·Π·P·Π) / Σσ, where s is the share and Q = 1 − Π.

- P: a coupled Newton–Schulz iteration whose steps are odd polynomials of degree 5, each the minimax approximation of 1
  on what the steps before have left of [3e-8, 1]. G is shifted by what `decomposition` counts as noise, so that every
  spectrum lies in that range: all of P converges, and the residual ‖I − P·G·P‖ says so for the whole matrix.
- Π: G is squared and divided by its trace for k = 1; otherwise each step is X² or 2X − X², whichever brings the
  trace towards k. Where the k-th and the next singular value cannot be told apart they share what is left of k, which
  is a subgradient too.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from .decomposition import noise_level

CUBIC = (1.875, -1.25, 0.375)  # the last step: error e before it, 2.5·e³ after
STEPS = (  # a, b, c of a·x + b·x³ + c·x⁵; tests/reference/minimax.py makes them
    (8.321478, -23.692328, 17.370850),
    (4.160738, -2.961541, 0.542839),
    (4.160733, -2.961540, 0.542839),
    (4.160711, -2.961534, 0.542840),
    (4.160621, -2.961511, 0.542843),
    (4.160247, -2.961413, 0.542856),
    (4.158694, -2.961007, 0.542910),
    (4.152246, -2.959325, 0.543136),
    (4.125697, -2.952446, 0.544092),
    (4.019938, -2.925838, 0.548387),
    (3.583616, -2.683542, 0.532182),
    (2.587684, -1.916363, 0.445882),
    (1.937788, -1.318125, 0.381875),
    CUBIC,
    CUBIC,
)
SQUARINGS = 24  # of k = 1: a relative gap of 1e-6 below σ_1 is resolved
SPLITTINGS = 72  # of k > 1: a relative gap of 1e-3 to 1e-4 below σ_k is resolved
TOLERANCE = 1e-3  # of the residual, below which the iteration has converged


class Shares(NamedTuple):
    """The dominant singular values' share, its gradient's matrix A, and what the iterations say of themselves."""

    share: Tensor  # NaN where the residual is not below `TOLERANCE`
    matrix: Tensor  # for A·Z: symmetric but for rounding, which Aᵀ·Z would magnify
    residual: Tensor  # ‖I − P·(G + δ)·P‖_F / √n: relative error of the polar factor
    undecided: Tensor  # tr(Π − Π²): 0 where the k-th and the next singular value have been told apart


def is_taken(device: torch.device) -> bool:
    """Whether the dominant term of rows on this device is made by matrix products."""
    return device.type != "cpu"


def shares(gram: Tensor, top_k: int, *, floor: float) -> Shares:
    """(1/k) Σ_{i≤k} σ_i / Σσ of an uncentred Gram matrix, and the matrix A of its gradient; see `Shares`.

    A singular value σ counts as σ²/√(σ² + δ) with δ = `noise_level` · λ_max · [1, 2.4]: noise fades out. In A, Σσ
    counts as at least ``floor``.
    """
    return Shares(*(_opaque if torch.compiler.is_compiling() else _shares)(gram, top_k, floor))


def _shares(gram: Tensor, top_k: int, floor: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    scaled, scale = _scaled(gram)
    noise = noise_level(gram.shape[0], gram.dtype)
    identity = torch.eye(gram.shape[0], dtype=gram.dtype, device=gram.device)
    shifted = torch.add(scaled, identity, alpha=noise)
    inverse, residual = _inverse_root(shifted, identity)
    projector = _by_squaring(shifted) if top_k == 1 else _by_splitting(shifted, identity, top_k)
    rest = projector - projector @ projector  # eigenvalues, in (0, 1], that cannot be told apart share a place
    root = scaled @ inverse  # without the shift: 0 for zero
    total = _trace(root)
    tiny = torch.finfo(gram.dtype).tiny
    share = (projector * root).sum() / (top_k * total.clamp_min(tiny))
    share = torch.where(residual < TOLERANCE, share, torch.nan)
    undecided = _trace(rest)
    lowest = undecided * noise**0.5
    shared = undecided / torch.maximum((rest * root).sum(), lowest).clamp_min(tiny)  # 1/σ of those that share a place
    between = rest * torch.where(undecided > 1e-9, shared, 0.0)
    right = inverse @ projector
    leading = projector @ right + between
    right = inverse - right
    others = right - projector @ right + between
    slope = 1 / (scale * (scale * total).clamp_min(floor))
    return share, (others * share + leading * (share - 1 / top_k)) * slope, residual, undecided


def in_torch_func() -> bool:
    """Whether `torch.func.vmap` or `grad` is at work."""
    functorch: Any = vars(torch)["_C"]._functorch
    return functorch.maybe_current_level() is not None


# All that `torch.compiler.assume_constant_result` does, which would import the compiler for everybody.
vars(in_torch_func)["_dynamo_marked_constant"] = True


SCHEMA = "(Tensor gram, int top_k, float floor) -> (Tensor, Tensor, Tensor, Tensor)"


@torch.library.custom_op("noisymodel::shares", mutates_args=(), schema=SCHEMA)  # torch 2.4 reads no quoted annotations
def _opaque(gram: Tensor, top_k: int, floor: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """`_shares` as one operation of a compiled graph: unrolled, its loops take a compiler up to a minute."""
    return _shares(gram, top_k, floor)


@_opaque.register_fake
def _(gram: Tensor, _top_k: int, _floor: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return gram.new_empty(()), gram.new_empty(gram.shape), gram.new_empty(()), gram.new_empty(())


def _scaled(gram: Tensor) -> tuple[Tensor, Tensor]:
    """G divided by a bound of λ_max that is at most n^(1/8) times too large, and the bound's root; 1 for zero."""
    largest = gram.diagonal(dim1=-2, dim2=-1).amax(-1)
    largest = torch.where(largest == 0, 1.0, largest)
    scaled = gram / largest
    square = scaled @ scaled
    bound = torch.linalg.vector_norm(square @ square).pow(0.25)
    bound = torch.where(bound == 0, 1.0, bound)
    bound = bound * (1 + noise_level(gram.shape[0], gram.dtype))  # room for the shift
    return scaled / bound, largest.sqrt() * bound.sqrt()


def _inverse_root(shifted: Tensor, identity: Tensor) -> tuple[Tensor, Tensor]:
    """S^(−1/2), whose rows of small eigenvalues are precise and whose columns are not, and the residual.

    The order of the factors matters: Z·Y, Y·q, q·Z is the stable one, and symmetric factors make it diverge.
    """
    inverse = _polynomial(shifted, identity, STEPS[0])
    root = shifted @ inverse
    for step in STEPS[1:]:
        factor = _polynomial(inverse @ root, identity, step)
        root, inverse = root @ factor, factor @ inverse
    return inverse, torch.linalg.vector_norm(identity - inverse @ root) / shifted.shape[0] ** 0.5


def _polynomial(matrix: Tensor, identity: Tensor, step: tuple[float, float, float]) -> Tensor:
    """The step's odd polynomial divided by x: a + b·M + c·M²."""
    return torch.addmm(torch.add(step[0] * identity, matrix, alpha=step[1]), matrix, matrix, alpha=step[2])


def _by_squaring(matrix: Tensor) -> Tensor:
    """X ← X²/tr(X²): the trace stays 1 and the largest eigenvalue wins."""
    projector = matrix
    for _ in range(SQUARINGS):
        square = projector @ projector
        projector = square / _trace(square)
    return projector


def _by_splitting(matrix: Tensor, identity: Tensor, top_k: int) -> Tensor:
    """X ← X² where the trace is above k, and 2X − X² otherwise; here of T = 2X − 1, for which both are T ± (T² − 1)/2.

    What is undecided at the end is moved by a multiple of X − X² until the trace is k.
    """
    size = matrix.shape[0]
    half, one = identity / 2, matrix.new_ones(())
    split = 2 * matrix - identity
    for _ in range(SPLITTINGS):
        change = torch.addmm(half, split, split, beta=-1, alpha=0.5)
        excess = (2 * top_k - size - _trace(split)) * _trace(change)  # of the trace of `change` only the sign is used
        split = torch.addcmul(split, change, one.copysign(excess))
    projector = (split + identity) / 2
    rest = projector - projector @ projector
    undecided = _trace(rest)
    move = ((top_k - _trace(projector)) / undecided.clamp_min(1e-9)).clamp(-3, 3)
    return torch.addcmul(projector, rest, torch.where(undecided > 1e-9, move, 0.0))


def _trace(matrix: Tensor) -> Tensor:
    return matrix.diagonal(dim1=-2, dim2=-1).sum(-1)
