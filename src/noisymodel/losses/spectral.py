"""The covariance and the dominant term: one Gram matrix of the smaller side, two values, one gradient.

Let Z be the N rows, m their mean, X = Z − 1·mᵀ, and v_d = Σ_i X_id². K is XXᵀ where N < D, and XᵀX otherwise, so that
no matrix is D×D where N < D.

- Σ_{i≠j} C_ij² = (‖K‖² − ‖v‖²)/(N−1)², with the gradient 4/(N−1)² · (K·X − X∘v), or X·K − X∘v.
- K and the mean give ZZᵀ (or ZᵀZ), whose eigenpairs give the singular values σ_i. −(1/k) Σ_{i≤k} σ_i / Σσ has the
  gradient A·Z (or Z·A); A is as small as K (see `decomposition`).

Both gradients together are one product of a small matrix with X.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import torch
from torch import Tensor

from .. import _gather
from .._checks import check_integer
from . import matrix_products
from .batch import Batch, as_term, global_batch, smallest_length
from .decomposition import leading_share, of_gram, of_rows

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup


def covariance_loss(features: Tensor, *, gather: bool | ProcessGroup = False) -> Tensor:
    """Squared covariances between different features, summed and divided by D.

    L = (1/D) Σ_{i≠j} C_ij² with C = (1/(N−1)) Σ_n (z_n − z̄)(z_n − z̄)ᵀ, in [0, ∞), in the features' units to the 4th.

    Args:
        features: rows, (..., D), N ≥ 2 of them when flattened to (N, D).
        gather: ``False``; ``True`` or a process group: the covariance of all ranks' rows, whose gradient is right
            after the averaging of DDP or FSDP. Ranks may hold different numbers of rows, or none. ``True`` without an
            initialised process group changes nothing. Gradient accumulation does not enlarge the statistic.

    Returns:
        A scalar. NaN for non-finite features; infinite where it exceeds the scalar's dtype.

    Raises:
        ValueError: with fewer than two rows, or without a row dimension.

    Source: arXiv 2309.17002, the covariance regularization L_COV; the unbiased N−1 and the 1/D as there.

    >>> import torch
    >>> covariance_loss(torch.tensor([[0.0, 0.0], [1.0, 1.0]]))
    tensor(0.2500)
    """
    batch = global_batch(features, "features", gather)
    return as_term(spectral_terms(batch, "features", covariance=True)[0], features)


def dominant_singular_value_loss(features: Tensor, *, top_k: int = 1, gather: bool | ProcessGroup = False) -> Tensor:
    """Minus the mean share of the ``top_k`` largest singular values.

    L = −(1/k) Σ_{i≤k} σ_i / Σ_j σ_j, in [−1, 0), σ of the **uncentred** matrix. Scale-free. A zero matrix has the
    value 0 and the gradient 0. In directions whose singular value is 0 (to within the precision of the statistics) the
    gradient is 0, the subgradient of smallest norm.

    Args:
        features: rows, (..., D), flattened to (N, D).
        top_k: k, from 1 to min(N, D); the paper has 1, the published code 5.
        gather: as in `covariance_loss`.

    Returns:
        A scalar. NaN for non-finite features.

    Raises:
        ValueError: for ``top_k`` outside [1, min(N, D)], or without a row dimension.

    Source: arXiv 2309.17002, the dominant singular value regularization L_SVD.

    >>> import torch
    >>> dominant_singular_value_loss(torch.diag(torch.tensor([3.0, 1.0])))
    tensor(-0.7500)
    """
    top_k = check_integer(top_k, "top_k", minimum=1)
    batch = global_batch(features, "features", gather)
    return as_term(spectral_terms(batch, "features", top_k=top_k)[1], features)


def spectral_terms(batch: Batch, name: str, *, covariance: bool = False, top_k: int = 0) -> tuple[Tensor, Tensor]:
    """The covariance and the dominant term of a batch, in float64; one that is not asked for (``top_k=0``) is 0."""
    count, width = batch.num_rows, batch.rows.shape[1]
    if covariance and count < 2:
        raise ValueError(f"`{name}` must have at least two rows for a covariance, got {count}; drop the last batch?")
    if top_k > min(count, width):
        raise ValueError(
            f"`top_k` must be at most min(N, D) = {min(count, width)} for {count} rows of {width} features, got {top_k}"
        )
    if not covariance and not top_k:
        zero = batch.rows.new_zeros((), dtype=torch.float64)
        return zero, zero
    if torch.compiler.is_compiling() and matrix_products.in_torch_func():
        raise NotImplementedError(
            "torch.compile of torch.func transforms is not supported here, it would lose the regularizers' gradients: "
            "compile the loss and call backward, or use torch.func without torch.compile"
        )
    outputs: Any = _SpectralTerms.apply(batch.rows, covariance, top_k, batch.sizes, batch.group)
    return outputs[0], outputs[1]


class _Layout(NamedTuple):
    """What the gradient must know beside tensors."""

    covariance: bool
    dominant: bool
    by_rows: bool  # whether the smaller side is that of the rows
    own: slice  # this process's rows among those of the statistics
    slope: float  # 4/(D·(N−1)²), of the covariance
    world_size: int


class _SpectralTerms(torch.autograd.Function):
    """(N, D) rows to both terms; what the gradient needs are further outputs, as `torch.func` asks."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        rows: Tensor, covariance: bool, top_k: int, sizes: list[int] | None, group: ProcessGroup | None
    ) -> tuple[Tensor, ...]:
        count, width = Batch(rows, sizes, group).num_rows, rows.shape[1]
        by_rows = count < width
        wide = (_gather.gather_rows(rows, sizes, group) if by_rows and sizes else rows).double()
        shared = None if by_rows else group  # where the rows did not travel, their sums do
        mean = _gather.sum_over_ranks(wide.sum(0), shared) / count
        centred = wide - mean
        side = centred if by_rows else centred.mT
        gram = _gather.sum_over_ranks(side @ side.mT, shared)
        variances = centred.square().sum(0) if by_rows else gram.diagonal().clone()
        first, second, matrix = mean.new_zeros(()), mean.new_zeros(()), mean.new_empty(0)
        if covariance:
            squares = torch.linalg.vector_norm(gram).square() - torch.linalg.vector_norm(variances).square()
            first = squares.clamp_min(0) / (width * (count - 1) ** 2)
        if top_k:
            floor = smallest_length(rows.dtype)
            if rows.dtype == torch.float64 and shared is None:
                share, matrix = leading_share(*of_rows(wide), top_k, floor=floor)
            else:
                share, matrix = _share_of_gram(_uncentred(gram, centred, mean, count, by_rows), top_k, floor, by_rows)
            second = mean.sum() * 0 - share  # NaN where a feature is not finite
        return first, second, centred, mean, gram, variances, matrix

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        rows, covariance, top_k, sizes, group = inputs
        count, width = Batch(rows, sizes, group).num_rows, rows.shape[1]
        by_rows = count < width
        own = _gather.own_slice(sizes, group) if by_rows and sizes else slice(None)
        slope = 4 / (width * (count - 1) ** 2) if covariance else 0.0
        ctx.layout = _Layout(covariance, top_k > 0, by_rows, own, slope, _gather.world_size(group))
        ctx.mark_non_differentiable(*output[2:])
        ctx.save_for_backward(rows, *output[2:])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        gradient: Any = _SpectralGradient.apply(*ctx.saved_tensors, *gradients[:2], ctx.layout)
        return gradient, None, None, None, None


class _SpectralGradient(torch.autograd.Function):
    """M·X + (A·1)·mᵀ − X∘v or X·M + 1·(mᵀA) − X∘v with M = K + A, each part with its slope; not differentiable."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        rows: Tensor,  # an argument so that a derivative by them is refused
        centred: Tensor,
        mean: Tensor,
        gram: Tensor,
        variances: Tensor,
        matrix: Tensor,
        by_covariance: Tensor,
        by_dominant: Tensor,
        layout: _Layout,
    ) -> Tensor:
        slope = by_covariance * (layout.slope * layout.world_size)
        small = gram * slope
        if layout.dominant:
            matrix = matrix * (by_dominant * layout.world_size)
            small = small + matrix if layout.covariance else matrix
        gradient = small[layout.own] @ centred if layout.by_rows else centred @ small
        if layout.dominant:  # Z is X and the mean
            left, right = (matrix.sum(1)[layout.own, None], mean) if layout.by_rows else (1, mean @ matrix)
            gradient = gradient + left * right
        if layout.covariance:
            gradient = torch.addcmul(gradient, centred[layout.own], variances * slope, value=-1)
        return gradient.to(rows.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> NoReturn:
        raise NotImplementedError(
            "the covariance and the dominant term have no second derivative, their gradients are written by hand: "
            "do not differentiate a gradient that they are part of"
        )


def _uncentred(gram: Tensor, centred: Tensor, mean: Tensor, count: int, by_rows: bool) -> Tensor:
    """ZZᵀ from XXᵀ, or ZᵀZ from XᵀX."""
    if not by_rows:
        return torch.addcmul(gram, mean, mean[:, None], value=count)
    projections = centred @ mean + mean.square().sum() / 2
    return gram + projections + projections[:, None]


def _share_of_gram(gram: Tensor, top_k: int, floor: float, by_rows: bool) -> tuple[Tensor, Tensor]:
    """The dominant share, and the matrix A of A·Z (by rows) or Z·A; on a GPU without waiting for it."""
    if not matrix_products.is_taken(gram.device):
        return leading_share(*of_gram(gram), top_k, floor=floor)
    found = matrix_products.shares(gram, top_k, floor=floor)
    return found.share, found.matrix if by_rows else found.matrix.mT
