"""Batch spectral shrinkage: the small end of the batch's spectrum, where the dominant term looks at the large one.

The eigenvectors V of the smallest eigenvalues come from the Gram matrix of the smaller side, in float64; the value is
then ‖VᵀZ‖² (or ‖ZV‖²), and its gradient 2·V·(VᵀZ): no division by differences of eigenvalues, which is where the
gradients of decompositions blow up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import torch
from torch import Tensor

from .. import _gather
from .._checks import check_integer
from ..losses.batch import as_term, global_batch

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup


def batch_spectral_shrinkage(features: Tensor, *, num_smallest: int = 1, gather: bool | ProcessGroup = False) -> Tensor:
    """Sum of the squares of the smallest singular values of a batch.

    L = Σ_{i≤k} σ_{−i}², σ_{−1} ≤ σ_{−2} ≤ … the min(N, D) singular values of the **uncentred** matrix, smallest first;
    in [0, ∞), in the features' units squared. Neither divided by N nor by D: it grows with the number of rows. With
    all of them, k = min(N, D), it is ‖Z‖_F². Where σ_{−k} = σ_{−k−1} the gradient is a subgradient. A second
    derivative is refused.

    Args:
        features: rows, (..., D), N ≥ 1 of them when flattened to (N, D).
        num_smallest: k, from 1 to min(N, D).
        gather: ``False``; ``True`` or a process group: the spectrum of all ranks' rows, with a gradient that is right
            after the averaging of DDP; see `noisymodel.losses.covariance_loss`.

    Returns:
        A scalar of float64 for float64 rows and of float32 otherwise; not finite for non-finite features.

    Raises:
        ValueError: for ``num_smallest`` outside [1, min(N, D)], or without a row dimension.

    Source: Chen et al., "Catastrophic Forgetting Meets Negative Transfer: Batch Spectral Shrinkage for Safe Transfer
    Learning" (NeurIPS 2019), L_bss; the authors' group's Transfer-Learning-Library computes it so, too, by an SVD of
    the batch, with k = 1 and the weight 0.001 as its defaults.

    >>> import torch
    >>> batch_spectral_shrinkage(torch.diag(torch.tensor([3.0, 2.0, 1.0])), num_smallest=2)
    tensor(5.)
    """
    num_smallest = check_integer(num_smallest, "num_smallest", minimum=1)
    batch = global_batch(features, "features", gather)
    count, width = batch.num_rows, batch.rows.shape[1]
    if num_smallest > min(count, width):
        raise ValueError(
            f"`num_smallest` must be at most min(N, D) = {min(count, width)} for {count} rows of {width} features, "
            f"got {num_smallest}"
        )
    value: Any = _SmallestSquares.apply(batch.rows, num_smallest, batch.sizes or [count], batch.group)
    return as_term(value, features)


class _SmallestSquares(torch.autograd.Function):
    """(N, D) to the sum of the k smallest eigenvalues of its Gram matrix."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, num_smallest: int, sizes: Sequence[int], group: ProcessGroup | None) -> Tensor:
        exact = rows.to(torch.float64)
        by_rows = sum(sizes) < rows.shape[1]
        everything = _gather.gather_rows(exact, sizes, group) if by_rows else exact
        gram = everything @ everything.mT if by_rows else _gather.sum_over_ranks(exact.mT @ exact, group)
        vectors = torch.linalg.eigh(torch.nan_to_num(gram, nan=0.0, posinf=0.0, neginf=0.0))[1][:, :num_smallest]
        if by_rows:
            projected = vectors.mT @ everything  # (k, D)
            own = vectors[_gather.own_slice(sizes, group)]
            value, gradient = projected.square().sum(), own @ projected
        else:
            projected = exact @ vectors  # (n, k)
            value, gradient = _gather.sum_over_ranks(projected.square().sum(), group), projected @ vectors.mT
        ctx.save_for_backward(rows, gradient.mul_(2 * _gather.world_size(group)))
        return value

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        return _Gradient.apply(*ctx.saved_tensors, gradients[0]), None, None, None


class _Gradient(torch.autograd.Function):
    """The gradient as a function of the rows whose own derivative is refused: it would be silently zero otherwise."""

    @staticmethod
    def forward(rows: Tensor, gradient: Tensor, upstream: Tensor) -> Tensor:
        return (gradient * upstream).to(rows.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> NoReturn:
        raise NotImplementedError(
            "batch_spectral_shrinkage has no second derivative, its gradient is written by hand: "
            "do not differentiate a gradient that it is part of"
        )
