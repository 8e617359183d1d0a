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

from . import _gather, _gram, _mixed

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup


P = ParamSpec("P")
R = TypeVar("R")


def _with_signature(function: Callable[P, R]) -> Callable[P, R]:
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
    @_with_signature
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
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(rows, *output[2:])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        rows, *parts = ctx.saved_tensors
        upstream = (parts[1].new_zeros(()) if part is None else part for part in gradients[:2])
        with outside_autocast(rows.device):
            return SpectralGradient.of(rows, *upstream, *parts, ctx.layout), *[None] * 5


def outside_autocast(device: torch.device) -> AbstractContextManager[Any]:
    """Entering costs as much as ten small operations, so only where there is something to leave."""
    enabled = torch.is_autocast_enabled(device.type)
    return torch.autocast(device.type, enabled=False) if enabled else nullcontext()


def batch_and_dominant_term(
    rows: Tensor, top_k: int, sizes: Sequence[int] | None, group: ProcessGroup | None, gradient: bool
) -> tuple[_gram.Batch, _gram.DominantTerm]:
    """The statistics in float32 where that is precise enough, in float64 otherwise."""
    floor = 4 / torch.finfo(rows.dtype).max
    if gradient and group is None and _mixed.is_possible(rows, top_k):
        batch = _gram.global_batch(rows, None, None, torch.float32)
        found = _mixed.dominant_term(batch, top_k, floor=floor)
        if found is not None:
            return batch, found
    batch = _gram.global_batch(rows, sizes, group)
    if not top_k:
        return batch, _gram.DominantTerm(*_zeros(batch.mean)[:2])
    exact = rows.dtype == torch.float64
    return batch, _gram.dominant_term(batch, top_k, exact=exact, floor=floor, gradient=gradient)


class SpectralGradient(OnceDifferentiable):
    """M·X − X∘v + (A·1)·mᵀ by rows, X·M + 1·(mᵀA) otherwise; M: the covariance's kernel plus the dominant term's A."""

    @staticmethod
    @_with_signature
    def forward(
        rows: Tensor,
        by_covariance: Tensor,
        by_dominant: Tensor,
        everyones: Tensor,
        mean: Tensor,
        kernel: Tensor,
        variances: Tensor,
        dominant: Tensor,
        layout: _Layout,
    ) -> Tensor:
        by_covariance = by_covariance.to(mean.dtype) * (layout.covariance_slope * layout.world_size)
        if layout.dominant:
            by_dominant = by_dominant.to(mean.dtype) * layout.world_size
            scaled = dominant * by_dominant
            matrix = torch.addcmul(scaled, kernel, by_covariance) if layout.covariance_slope else scaled
            edge = scaled.sum(1) if layout.by_rows else mean @ scaled
        else:
            matrix, edge = kernel * by_covariance, mean.new_zeros(1)
        least = matrix.shape[1]
        if not layout.by_rows:
            parts = _gram.blocks(rows, 0, at_least=least)
            return _assembled((_by_features(part, matrix, edge, mean) for part in parts), [len(p) for p in parts], 0)
        if layout.own is not None:
            rows, matrix, edge = everyones, matrix[layout.own], edge[layout.own]
        columns = _gram.blocks(rows, 1, at_least=least)
        sizes = [part.shape[1] for part in columns]
        scales = variances * -by_covariance if layout.covariance_slope else mean.new_empty(mean.shape)
        statistics = zip(columns, mean.split(sizes), scales.split(sizes), strict=True)
        return _assembled((_by_rows(*part, matrix, edge, layout) for part in statistics), sizes, 1)


def _by_features(part: Tensor, matrix: Tensor, edge: Tensor, mean: Tensor) -> Tensor:
    """X·M + 1·edgeᵀ for some of the rows."""
    return torch.addmm(edge, _gram.as_statistics(part, mean.dtype).sub_(mean), matrix).to(part.dtype)


def _by_rows(part: Tensor, mean: Tensor, scales: Tensor, matrix: Tensor, edge: Tensor, layout: _Layout) -> Tensor:
    """M·X + X∘scales + edge·mᵀ for some of the columns."""
    centred = _gram.as_statistics(part, mean.dtype).sub_(mean)
    rest = edge[:, None] * mean
    if layout.covariance_slope:
        rest = torch.addcmul(rest, centred if layout.own is None else centred[layout.own], scales)
    return torch.addmm(rest, matrix, centred).to(part.dtype)


def _assembled(parts: Iterator[Tensor], sizes: list[int], dim: int) -> Tensor:
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


class Consistency(torch.autograd.Function):
    """(1/n) Σ_i ‖z_i/‖z_i‖ − f_i/‖f_i‖‖² · scale over all ranks; a zero row counts as zero, without gradient."""

    generate_vmap_rule = True

    @staticmethod
    @_with_signature
    def forward(
        tuned: Tensor, reference: Tensor, scale: float, sizes: Sequence[int] | None, group: ProcessGroup | None
    ) -> tuple[Tensor, ...]:
        count = tuned.shape[0] if sizes is None else sum(sizes)
        squared, first_length, second_length = distances(tuned, reference)
        value = _gather.sum_over_ranks(squared.sum(), group) * (scale / count)
        return value.to(scalar_dtype(tuned)), squared, first_length, second_length

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
        tuned, reference, squared, first_length, second_length = ctx.saved_tensors
        slope = gradients[0] * ctx.slope
        by_tuned = by_reference = None
        if ctx.needs_input_grad[0]:
            by_tuned = DistanceGradient.of(tuned, reference, slope, squared, first_length, second_length)
        if ctx.needs_input_grad[1]:
            by_reference = DistanceGradient.of(reference, tuned, slope, squared, second_length, first_length)
        return by_tuned, by_reference, None, None, None


class DistanceGradient(OnceDifferentiable):
    """(slope/‖z‖)·((1 − ρ/2)·ẑ − f̂) with ẑ = z/‖z‖, f̂ = f/‖f‖ and ρ = ‖ẑ − f̂‖²."""

    @staticmethod
    @_with_signature
    def forward(
        rows: Tensor, other: Tensor, slope: Tensor, squared: Tensor, length: Tensor, other_length: Tensor
    ) -> Tensor:
        slope = torch.where(length * other_length == 0, 0.0, slope) / length.clamp_min(4 / torch.finfo(rows.dtype).max)
        ours, others = (1 - squared / 2) * _inverse(length) * slope, _inverse(other_length) * -slope
        pairs = list(zip(_gram.blocks(rows, 0), _gram.blocks(other, 0), strict=True))
        sizes = [part.shape[0] for part, _ in pairs]
        factors = zip(ours.split(sizes), others.split(sizes), strict=True)
        parts = (_combined(*pair, *scale) for pair, scale in zip(pairs, factors, strict=True))
        return _assembled(parts, sizes, 0)


def _combined(first: Tensor, second: Tensor, of_first: Tensor, of_second: Tensor) -> Tensor:
    """first·of_first + second·of_second for some rows, in the first one's dtype."""
    combined = _gram.as_statistics(first).mul_(of_first)
    return torch.addcmul(combined, _gram.as_statistics(second), of_second).to(first.dtype)


def distances(tuned: Tensor, reference: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """ρ, ‖z‖ and ‖f‖ of the rows, each (N, 1)."""
    pairs = list(zip(_gram.blocks(tuned, 0), _gram.blocks(reference, 0), strict=True))
    if len(pairs) == 1:
        return _distances(*pairs[0])
    squared, lengths, other_lengths = zip(*(_distances(*pair) for pair in pairs), strict=True)
    return torch.cat(squared), torch.cat(lengths), torch.cat(other_lengths)


def _distances(tuned: Tensor, reference: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The same of some rows."""
    first, second = _gram.as_statistics(tuned), _gram.as_statistics(reference)
    lengths = [torch.linalg.vector_norm(rows, dim=1, keepdim=True) for rows in (first, second)]
    difference = first.mul_(_inverse(lengths[0])).sub_(second.mul_(_inverse(lengths[1])))  # 0 for equal rows
    return torch.linalg.vector_norm(difference, dim=1, keepdim=True).square(), *lengths


def _inverse(length: Tensor) -> Tensor:
    """1/length, and a number for 0."""
    return length.clamp_min(torch.finfo(length.dtype).tiny).reciprocal()


def _zeros(like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A term that was not asked for."""
    return like.new_zeros(()), like.new_zeros(()), like.new_zeros(())


def scalar_dtype(rows: Tensor) -> torch.dtype:
    """The dtype of a term: a float16 scalar would overflow."""
    return torch.float64 if rows.dtype == torch.float64 else torch.float32
