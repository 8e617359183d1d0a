"""All three regularizers as one function of autograd, for a CPU that no tracer or transform looks at.

At N = 64 the time goes into small operations and nodes of the graph, so there is one node, and what is a scalar is a
number. The statistics and gradients are those of `_autograd` and `_gram`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import _gram
from ._autograd import (
    OnceDifferentiable,
    SpectralGradient,
    batch_and_dominant_term,
    layout_of,
    outside_autocast,
    scalar_dtype,
)
from ._consistency import DistanceGradient, distance_factors, distances


class PlainTerms(torch.autograd.Function):
    """(N, D) rows, and others or None, to total, consistency, covariance and dominant term; weights are numbers."""

    @staticmethod
    def forward(
        ctx: Any,
        tuned: Tensor,
        reference: Tensor | None,
        weights: tuple[float, float, float],
        top_k: int,
        scale: float,
        gradient: bool,
    ) -> tuple[Tensor, ...]:
        batch, dominant = batch_and_dominant_term(tuned, top_k, None, None, gradient)
        covariance = _gram.covariance_term(batch)
        found = () if reference is None else distances(tuned, reference)
        consistency = found[0].sum().item() * scale / tuned.shape[0] if found else 0.0
        values = consistency, covariance.value.item(), dominant.value.item()
        number = np.float64 if tuned.dtype == torch.float64 else np.float32  # as tensors would be added up
        products = [number(value) * number(weight) for weight, value in zip(weights, values, strict=True)]
        total = float(products[0] + products[1] + products[2])
        ctx.weights, ctx.slope = weights, 2 * scale / tuned.shape[0]
        ctx.layout = layout_of(tuned, covariance=True, dominant=True)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(tuned, reference, batch.mean, *covariance[1:], dominant.matrix, *found)
        return tuple(torch.scalar_tensor(value, dtype=scalar_dtype(tuned)) for value in (total, *values))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        tuned, reference, *parts = ctx.saved_tensors
        upstream = [0.0 if gradient is None else gradient.item() for gradient in gradients]
        slopes = [upstream[0] * weight + own for weight, own in zip(ctx.weights, upstream[1:], strict=True)]
        by_tuned = by_reference = None
        with outside_autocast(tuned.device):
            if ctx.needs_input_grad[0]:
                by_tuned = _Gradient.of(tuned, reference, slopes, parts, ctx.slope, ctx.layout)
            if reference is not None and ctx.needs_input_grad[1]:
                squared, length, other_length = parts[4:]
                slope = squared.new_full((), slopes[0] * ctx.slope)
                by_reference = DistanceGradient.of(reference, tuned, slope, squared, other_length, length)
        return by_tuned, by_reference, None, None, None, None


class _Gradient(OnceDifferentiable):
    """The gradient by the tuned rows: that of the spectral terms plus that of the consistency."""

    @staticmethod
    def forward(
        tuned: Tensor, reference: Tensor | None, slopes: list[float], parts: list[Tensor], slope: float, layout: Any
    ) -> Tensor:
        by_consistency, by_covariance, by_dominant = slopes
        mean, kernel, variances, matrix, *found = parts
        everyones = tuned.new_empty(0)
        gradient = SpectralGradient.forward(
            tuned, by_covariance, by_dominant, everyones, mean, kernel, variances, matrix, layout
        )
        if reference is None:
            return gradient
        factor = found[0].new_full((), by_consistency * slope)
        if found[0].dtype != tuned.dtype or reference.dtype != tuned.dtype:
            return gradient.add_(DistanceGradient.forward(tuned, reference, factor, *found))
        squared, length, other_length = found
        ours, others = distance_factors(factor, squared, length, other_length, torch.finfo(tuned.dtype))
        return gradient.addcmul_(tuned, ours).addcmul_(reference, others)
