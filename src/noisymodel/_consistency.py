"""The consistency term as a function of autograd: distances of unit rows forward, two multiples of the rows back.

Distances are float32 where no pair of rows is so close that the difference would lose its digits, which a CPU looks at;
elsewhere they are float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from . import _gather, _gram, _polar
from ._autograd import OnceDifferentiable, assembled, scalar_dtype, with_signature

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

CLOSE = 0.03  # of unit rows: float32 gives the gradient a relative error of some 1e-6 there
LENGTHS = 1e-15, 1e15  # of rows, whose squares are normal numbers in float32


class Consistency(torch.autograd.Function):
    """(1/n) Σ_i ‖z_i/‖z_i‖ − f_i/‖f_i‖‖² · scale over all ranks; a zero row counts as zero, without gradient."""

    generate_vmap_rule = True

    @staticmethod
    @with_signature
    def forward(
        tuned: Tensor, reference: Tensor, scale: float, sizes: Sequence[int] | None, group: ProcessGroup | None
    ) -> tuple[Tensor, ...]:
        count = tuned.shape[0] if sizes is None else sum(sizes)
        squared, first_length, second_length = distances(tuned, reference)
        total = squared.sum(dtype=torch.float64)  # ranks may have distances of unlike precision
        value = _gather.sum_over_ranks(total, group) * (scale / count)
        return value.to(scalar_dtype(tuned)), squared, first_length, second_length

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        tuned, reference, scale, sizes, group = inputs
        count = tuned.shape[0] if sizes is None else sum(sizes)
        ctx.slope = 2 * scale * _gather.world_size(group) / count
        ctx.mark_non_differentiable(*output[1:])
        if not _polar.in_torch_func():  # before torch 2.6 `vmap` cannot do without
            ctx.set_materialize_grads(False)
        ctx.save_for_backward(tuned, reference, *output[1:])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Any, ...]:
        return *consistency_gradients(ctx, gradients[0]), None, None, None


def consistency_gradients(ctx: Any, by_value: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    """The gradients of `Consistency` by the rows and the others."""
    by_tuned = by_reference = None
    if by_value is not None:
        tuned, reference, squared, first_length, second_length = ctx.saved_tensors
        slope = by_value * ctx.slope
        if ctx.needs_input_grad[0]:
            by_tuned = DistanceGradient.of(tuned, reference, slope, squared, first_length, second_length)
        if ctx.needs_input_grad[1]:
            by_reference = DistanceGradient.of(reference, tuned, slope, squared, second_length, first_length)
    return by_tuned, by_reference


class DistanceGradient(OnceDifferentiable):
    """(slope/‖z‖)·((1 − ρ/2)·ẑ − f̂) with ẑ = z/‖z‖, f̂ = f/‖f‖ and ρ = ‖ẑ − f̂‖², in ρ's precision."""

    @staticmethod
    @with_signature
    def forward(
        rows: Tensor, other: Tensor, slope: Tensor, squared: Tensor, length: Tensor, other_length: Tensor
    ) -> Tensor:
        ours, others = distance_factors(slope, squared, length, other_length, torch.finfo(rows.dtype))
        pairs = list(zip(_gram.blocks(rows, 0), _gram.blocks(other, 0), strict=True))
        sizes = [part.shape[0] for part, _ in pairs]
        factors = zip(ours.split(sizes), others.split(sizes), strict=True)
        parts = (_combined(*pair, *scale) for pair, scale in zip(pairs, factors, strict=True))
        return assembled(parts, sizes, 0)


def distance_factors(
    slope: Tensor, squared: Tensor, length: Tensor, other_length: Tensor, limits: torch.finfo
) -> tuple[Tensor, Tensor]:
    """What z and f are multiplied by in the gradient, each (N, 1)."""
    slope = torch.where(length * other_length == 0, 0.0, slope) / length.clamp_min(4 / limits.max)
    return (1 - squared / 2) * _inverse(length) * slope, _inverse(other_length) * -slope


def _combined(first: Tensor, second: Tensor, of_first: Tensor, of_second: Tensor) -> Tensor:
    """first·of_first + second·of_second for some rows, in the first one's dtype."""
    combined = _gram.as_statistics(first, of_first.dtype).mul_(of_first)
    return torch.addcmul(combined, second.to(of_first.dtype), of_second).to(first.dtype)


def distances(tuned: Tensor, reference: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """ρ, ‖z‖ and ‖f‖ of the rows, each (N, 1): float32 where that is precise enough, float64 otherwise."""
    if torch.float64 not in (tuned.dtype, reference.dtype) and _gram.is_plain(tuned):
        found = _distances_in(torch.float32, tuned, reference)
        if _are_precise(*found):
            return found
    return _distances_in(torch.float64, tuned, reference)


def _are_precise(squared: Tensor, *lengths: Tensor) -> bool:
    """Whether no row is so close to the other that float32 would lose the difference, and no length is extreme."""
    if not squared.numel() or float(squared.min()) < CLOSE**2:
        return False
    return all(LENGTHS[0] < float(length.min()) <= float(length.max()) < LENGTHS[1] for length in lengths)


def _distances_in(dtype: torch.dtype, tuned: Tensor, reference: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    pairs = list(zip(_gram.blocks(tuned, 0), _gram.blocks(reference, 0), strict=True))
    if len(pairs) == 1:
        return _distances(*pairs[0], dtype)
    squared, lengths, other_lengths = zip(*(_distances(*pair, dtype) for pair in pairs), strict=True)
    return torch.cat(squared), torch.cat(lengths), torch.cat(other_lengths)


def _distances(tuned: Tensor, reference: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """The same of some rows."""
    first, second = tuned.to(dtype), reference.to(dtype)
    lengths = [torch.linalg.vector_norm(rows, dim=1, keepdim=True) for rows in (first, second)]
    difference = (first * _inverse(lengths[0])).sub_(second * _inverse(lengths[1]))  # 0 for equal rows
    return (difference * difference).sum(1, keepdim=True), *lengths


def _inverse(length: Tensor) -> Tensor:
    """1/length, and a number for 0."""
    return length.clamp_min(torch.finfo(length.dtype).tiny).reciprocal()
