"""The regularizers as functions of autograd: statistics forward, one product of a small matrix with the rows back.

What the backward pass needs are further outputs of the forward pass, as `torch.func` asks. The gradients are functions
of their own whose derivative is an error: a second derivative is refused, not silently zero.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, ParamSpec, TypeVar

import torch
from torch import Tensor

from . import _gather, _gram

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup


P = ParamSpec("P")
R = TypeVar("R")


def _with_signature(function: Callable[P, R]) -> Callable[P, R]:
    """Keep the signature: torch asks for it in every call, which costs more than a product of small matrices."""
    vars(function)["__signature__"] = inspect.signature(function)
    return function


class _OnceDifferentiable(torch.autograd.Function):
    """A gradient that is written by hand; what it is the gradient by is its first argument."""

    generate_vmap_rule = True

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> NoReturn:
        raise NotImplementedError(
            "the regularizers have no second derivative, their gradients are written by hand: "
            "do not differentiate a gradient that they are part of"
        )

    @classmethod
    def of(cls, *arguments: Any) -> Any:
        """The gradient; on autograd's record only where there is one (``create_graph``, `torch.func`): that costs."""
        return cls.apply(*arguments) if torch.is_grad_enabled() else cls.forward(*arguments)


class _Layout(NamedTuple):
    """What the spectral gradient must know and is no tensor."""

    covariance_slope: float  # 0 where the term was not asked for
    dominant: bool
    by_rows: bool
    own: slice | None  # where this rank's rows lie among all, where rows travelled
    world_size: int


class SpectralTerms(torch.autograd.Function):
    """(N, D) to the covariance and the dominant term; one that is not asked for is 0, without gradient."""

    generate_vmap_rule = True

    @staticmethod
    @_with_signature
    def forward(
        rows: Tensor,
        covariance: bool,
        top_k: int,
        sizes: Sequence[int] | None,
        group: ProcessGroup | None,
        gradient: bool,
    ) -> tuple[Tensor, ...]:
        batch = _gram.global_batch(rows, sizes, group)
        exact = rows.dtype == torch.float64
        first = _gram.covariance_term(batch) if covariance else _gram.CovarianceTerm(*_zeros(batch.mean))
        if top_k:
            floor = 4 / torch.finfo(rows.dtype).max
            second = _gram.dominant_term(batch, top_k, exact=exact, floor=floor, gradient=gradient)
        else:
            second = _gram.DominantTerm(*_zeros(batch.mean)[:2])
        is_large = batch.gram.shape[0] >= _gram.LARGE and not exact
        centred = batch.centred.float() if is_large else batch.centred
        values = (term.value.to(scalar_dtype(rows)) for term in (first, second))
        return *values, centred, batch.mean, *first[1:], *second[1:]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        rows, covariance, top_k, sizes, group, _ = inputs
        count = rows.shape[0] if sizes is None else sum(sizes)
        by_rows = count < rows.shape[1]
        own = _gather.own_slice(sizes, group) if by_rows and sizes is not None else None
        slope = _gram.covariance_slope(count, rows.shape[1]) if covariance else 0.0
        ctx.layout = _Layout(slope, top_k > 0, by_rows, own, _gather.world_size(group))
        ctx.mark_non_differentiable(*output[2:])
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(rows, *output[2:])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        rows, *parts = ctx.saved_tensors
        upstream = (parts[0].new_zeros(()) if part is None else part for part in gradients[:2])
        return _SpectralGradient.of(rows, *upstream, *parts, ctx.layout), *[None] * 5


class _SpectralGradient(_OnceDifferentiable):
    """M·X − X∘v + (A·1)·mᵀ by rows, X·M + 1·(mᵀA) otherwise; M: the covariance's kernel plus the dominant term's A."""

    @staticmethod
    @_with_signature
    def forward(
        rows: Tensor,
        by_covariance: Tensor,
        by_dominant: Tensor,
        centred: Tensor,
        mean: Tensor,
        kernel: Tensor,
        variances: Tensor,
        dominant: Tensor,
        layout: _Layout,
    ) -> Tensor:
        precision = centred.dtype
        by_covariance = by_covariance * (layout.covariance_slope * layout.world_size)
        matrix = (kernel * by_covariance).to(precision)
        if layout.dominant:
            by_dominant = by_dominant * layout.world_size
            edge = ((dominant.sum(1) if layout.by_rows else mean @ dominant) * by_dominant).to(precision)
            matrix = matrix + (dominant * by_dominant).to(precision)
        else:
            edge = mean.new_zeros(1, dtype=precision)
        if not layout.by_rows:
            return torch.addmm(edge, centred, matrix).to(rows.dtype)
        ours = centred
        if layout.own is not None:
            matrix, edge, ours = matrix[layout.own], edge[layout.own], centred[layout.own]
        rest = edge[:, None] * mean.to(precision)
        if layout.covariance_slope:
            rest = torch.addcmul(rest, ours, (variances * by_covariance).to(precision), value=-1)
        return torch.addmm(rest, matrix, centred).to(rows.dtype)


class Consistency(torch.autograd.Function):
    """(1/n) Σ_i ‖z_i/‖z_i‖ − f_i/‖f_i‖‖² · scale over all ranks; a zero row counts as zero, without gradient."""

    generate_vmap_rule = True

    @staticmethod
    @_with_signature
    def forward(
        tuned: Tensor, reference: Tensor, scale: float, sizes: Sequence[int] | None, group: ProcessGroup | None
    ) -> tuple[Tensor, ...]:
        count = tuned.shape[0] if sizes is None else sum(sizes)
        first, first_length = _directions(tuned)
        second, second_length = _directions(reference)
        difference = first - second
        squared = torch.linalg.vector_norm(difference, dim=1, keepdim=True).square()
        value = _gather.sum_over_ranks(squared.sum(), group) * (scale / count)
        return value.to(scalar_dtype(tuned)), difference, squared, first, first_length, second_length

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        tuned, reference, scale, sizes, group = inputs
        count = tuned.shape[0] if sizes is None else sum(sizes)
        ctx.slope = 2 * scale * _gather.world_size(group) / count
        ctx.mark_non_differentiable(*output[1:])
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(tuned, reference, *output[1:])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Any, ...]:
        if gradients[0] is None:
            return None, None, None, None, None
        tuned, reference, difference, squared, first, first_length, second_length = ctx.saved_tensors
        slope = torch.where(first_length * second_length == 0, 0.0, gradients[0] * ctx.slope)
        by_tuned = by_reference = None
        if ctx.needs_input_grad[0]:
            by_tuned = _DistanceGradient.of(tuned, slope, difference, squared, first, first_length)
        if ctx.needs_input_grad[1]:
            second = first - difference
            by_reference = _DistanceGradient.of(reference, slope, -difference, squared, second, second_length)
        return by_tuned, by_reference, None, None, None


class _DistanceGradient(_OnceDifferentiable):
    """(slope/‖z‖)·(e − (ρ/2)·ẑ) with ẑ = z/‖z‖ and e = ẑ − f̂, whose product is ẑ·e = ρ/2."""

    @staticmethod
    @_with_signature
    def forward(
        rows: Tensor, slope: Tensor, difference: Tensor, squared: Tensor, direction: Tensor, length: Tensor
    ) -> Tensor:
        tangent = torch.addcmul(difference, squared, direction, value=-0.5)
        return (tangent * (slope / length.clamp_min(4 / torch.finfo(rows.dtype).max))).to(rows.dtype)


def _zeros(like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A term that was not asked for."""
    return like.new_zeros(()), like.new_zeros(()), like.new_zeros(())


def _directions(rows: Tensor) -> tuple[Tensor, Tensor]:
    """The rows divided by their lengths, 0 for a zero row, and the lengths, (N, 1)."""
    directions = rows.to(_gram.statistics_dtype(rows), copy=True)
    length = torch.linalg.vector_norm(directions, dim=1, keepdim=True)
    return directions.div_(length.clamp_min(torch.finfo(directions.dtype).tiny)), length


def scalar_dtype(rows: Tensor) -> torch.dtype:
    """The dtype of a term: a float16 scalar would overflow."""
    return torch.float64 if rows.dtype == torch.float64 else torch.float32
