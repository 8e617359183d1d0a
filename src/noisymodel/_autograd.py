"""The regularizers as functions of autograd: statistics forward, one product of a small matrix with the rows back.

What the backward pass needs are further outputs of the forward pass, as `torch.func` asks. The gradients are functions
of their own whose derivative is an error: a second derivative is refused, not silently zero.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, ParamSpec, TypeVar

import torch
from torch import Tensor

from . import _gather, _gram, _mixed, _polar

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup


P = ParamSpec("P")
R = TypeVar("R")


def with_signature(function: Callable[P, R]) -> Callable[P, R]:
    """Keep the signature: torch asks for it in every call, which costs more than a product of small matrices."""
    vars(function)["__signature__"] = inspect.signature(function)
    return function


class OnceDifferentiable(torch.autograd.Function):
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


def layout_of(
    rows: Tensor,
    *,
    covariance: bool,
    dominant: bool,
    sizes: Sequence[int] | None = None,
    group: ProcessGroup | None = None,
) -> _Layout:
    """What the spectral gradient must know of these rows."""
    count = rows.shape[0] if sizes is None else sum(sizes)
    by_rows = count < rows.shape[1]
    own = _gather.own_slice(sizes, group) if by_rows and sizes is not None else None
    slope = _gram.covariance_slope(count, rows.shape[1]) if covariance else 0.0
    return _Layout(slope, dominant, by_rows, own, _gather.world_size(group))


class SpectralTerms(torch.autograd.Function):
    """(N, D) to the covariance and the dominant term; one that is not asked for is 0, without gradient."""

    generate_vmap_rule = True

    @staticmethod
    @with_signature
    def forward(
        rows: Tensor,
        covariance: bool,
        top_k: int,
        sizes: Sequence[int] | None,
        group: ProcessGroup | None,
        gradient: bool,
    ) -> tuple[Tensor, ...]:
        batch, second = batch_and_dominant_term(rows, top_k, sizes, group, gradient)
        first = _gram.covariance_term(batch) if covariance else _gram.CovarianceTerm(*_zeros(batch.mean))
        everyones = batch.rows.new_empty(0) if batch.rows is rows else batch.rows
        values = (term.value.to(scalar_dtype(rows)) for term in (first, second))
        return *values, everyones, batch.mean, *first[1:], *second[1:]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        rows, covariance, top_k, sizes, group, _ = inputs
        ctx.layout = layout_of(rows, covariance=covariance, dominant=top_k > 0, sizes=sizes, group=group)
        ctx.mark_non_differentiable(*output[2:])
        if not _polar.in_torch_func():  # before torch 2.6 `vmap` cannot do without
            ctx.set_materialize_grads(False)
        ctx.save_for_backward(rows, *output[2:])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        return *spectral_gradients(ctx, *gradients[:2]), *[None] * 5


def spectral_gradients(ctx: Any, by_covariance: Tensor | None, by_dominant: Tensor | None) -> tuple[Tensor]:
    """The gradient of `SpectralTerms` by the rows."""
    rows, *parts = ctx.saved_tensors
    nothing = parts[1].new_zeros(())
    upstream = (nothing if part is None else part for part in (by_covariance, by_dominant))
    with outside_autocast(rows.device):
        return (SpectralGradient.of(rows, *upstream, *parts, ctx.layout),)


def outside_autocast(device: torch.device) -> AbstractContextManager[Any]:
    """Entering costs as much as ten small operations, so only where there is something to leave."""
    enabled = torch.is_autocast_enabled(device.type)
    return torch.autocast(device.type, enabled=False) if enabled else nullcontext()


def batch_and_dominant_term(
    rows: Tensor, top_k: int, sizes: Sequence[int] | None, group: ProcessGroup | None, gradient: bool
) -> tuple[_gram.Batch, _gram.DominantTerm]:
    """The statistics in float32 where that is precise enough, in float64 otherwise."""
    floor, exact = 4 / torch.finfo(rows.dtype).max, rows.dtype == torch.float64
    if gradient and group is None and _mixed.is_possible(rows, top_k):
        batch = _gram.global_batch(rows, None, None, torch.float32)
        found = _mixed.dominant_term(batch, top_k, floor=floor)
        if found is not None:
            return batch, found
    batch = _gram.global_batch(rows, sizes, group)
    if not top_k:
        return batch, _gram.DominantTerm(*_zeros(batch.mean)[:2])
    if not exact and _gram.is_plain(rows):
        plain = _mixed.dominant_term_in_float64
        return batch, plain(batch, top_k, floor=floor, gradient=gradient, narrow=group is None)
    return batch, _gram.dominant_term(batch, top_k, exact=exact, floor=floor, gradient=gradient)


class SpectralGradient(OnceDifferentiable):
    """M·X − X∘v + (A·1)·mᵀ by rows, X·M + 1·(mᵀA) otherwise; M: the covariance's kernel plus the dominant term's A."""

    @staticmethod
    @with_signature
    def forward(
        rows: Tensor,
        by_covariance: Tensor | float,
        by_dominant: Tensor | float,
        everyones: Tensor,
        mean: Tensor,
        kernel: Tensor,
        variances: Tensor,
        dominant: Tensor,
        layout: _Layout,
    ) -> Tensor:
        if layout.dominant and dominant.dtype != mean.dtype:  # precise enough for the products
            mean, kernel, variances = (part.to(dominant.dtype) for part in (mean, kernel, variances))
        by_covariance = _in_dtype(by_covariance, mean) * (layout.covariance_slope * layout.world_size)
        if layout.dominant:
            scaled = dominant * (_in_dtype(by_dominant, mean) * layout.world_size)
            matrix = _plus_multiple(scaled, kernel, by_covariance) if layout.covariance_slope else scaled
            edge = scaled.sum(1) if layout.by_rows else mean @ scaled
        else:
            matrix, edge = kernel * by_covariance, mean.new_zeros(1)
        least = matrix.shape[1]
        if not layout.by_rows:
            parts = _gram.blocks(rows, 0, at_least=least)
            return assembled((_by_features(part, matrix, edge, mean) for part in parts), [len(p) for p in parts], 0)
        if layout.own is not None:
            rows, matrix, edge = everyones, matrix[layout.own], edge[layout.own]
        columns = _gram.blocks(rows, 1, at_least=least)
        sizes = [part.shape[1] for part in columns]
        scales = variances * -by_covariance if layout.covariance_slope else mean.new_empty(mean.shape)
        statistics = zip(columns, mean.split(sizes), scales.split(sizes), strict=True)
        return assembled((_by_rows(*part, matrix, edge, layout) for part in statistics), sizes, 1)


def _in_dtype(factor: Tensor | float, like: Tensor) -> Tensor | float:
    return factor.to(like.dtype) if isinstance(factor, Tensor) else factor


def _plus_multiple(matrix: Tensor, other: Tensor, factor: Tensor | float) -> Tensor:
    """The matrix plus a multiple of another."""
    if isinstance(factor, Tensor):
        return torch.addcmul(matrix, other, factor)
    return torch.add(matrix, other, alpha=factor)


def _by_features(part: Tensor, matrix: Tensor, edge: Tensor, mean: Tensor) -> Tensor:
    """X·M + 1·edgeᵀ for some of the rows."""
    return torch.addmm(edge, _gram.as_statistics(part, mean.dtype).sub_(mean), matrix).to(part.dtype)


def _by_rows(part: Tensor, mean: Tensor, scales: Tensor, matrix: Tensor, edge: Tensor, layout: _Layout) -> Tensor:
    """M·X + X∘scales + edge·mᵀ for some of the columns."""
    centred = _gram.as_statistics(part, mean.dtype).sub_(mean)
    gradient = torch.addcmul(matrix @ centred, edge[:, None], mean)
    if layout.covariance_slope:
        gradient = torch.addcmul(gradient, centred if layout.own is None else centred[layout.own], scales)
    return gradient.to(part.dtype)


def assembled(parts: Iterator[Tensor], sizes: list[int], dim: int) -> Tensor:
    """The parts side by side, made one at a time."""
    first = next(parts)
    if len(sizes) == 1:
        return first
    whole = first.new_empty((sum(sizes), first.shape[1]) if dim == 0 else (first.shape[0], sum(sizes)))
    slots = whole.split(sizes, dim)
    slots[0].copy_(first)
    for slot, part in zip(slots[1:], parts, strict=True):
        slot.copy_(part)
    return whole


def _zeros(like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A term that was not asked for."""
    return like.new_zeros(()), like.new_zeros(()), like.new_zeros(())


def scalar_dtype(rows: Tensor) -> torch.dtype:
    """The dtype of a term: a float16 scalar would overflow."""
    return torch.float64 if rows.dtype == torch.float64 else torch.float32
