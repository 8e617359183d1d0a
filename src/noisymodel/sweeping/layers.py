"""Layers of many heads at once, with the gradients that each head has alone.

Where a choice is free it is such that on a CPU even the rounding is that of one head alone. It matters: the bias of a
Linear before a BatchNorm has a gradient of nothing but rounding errors, which AdamW makes into steps of full length.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_VECTOR = 64  # torch sums so many columns side by side, and the rest in another order

_SMALL = 400  # torch makes batched products of fewer multiplications without BLAS, and rounds them otherwise


class StackedLinear(torch.autograd.Function):
    """(n, H, in), or (n, in) that all heads share, to (n, H, out), by weights (H, out, in) and biases (H, out).

    The weights' gradient is written into a buffer that is kept from step to step: fresh memory of that size costs the
    operating system as much time as the product does. The weights themselves are not on autograd's record.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor, gradient: Tensor) -> Tensor:
        """The products, each head's with its own weights."""
        ctx.save_for_backward(rows, weight)
        ctx.gradient = gradient
        product = rows.new_empty(len(rows), *bias.shape)
        if rows.ndim == 2:
            torch.addmm(bias.flatten(), rows, weight.flatten(0, 1).mT, out=product.flatten(1))
        else:
            _add_products(product.copy_(bias).transpose(0, 1), rows.transpose(0, 1), weight.mT)
        return product

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, None, Tensor, None]:
        """Gradients by rows that are not shared, by weights into the buffer, and by biases."""
        rows, weight = ctx.saved_tensors
        upstream, by_rows = gradients[0].contiguous(), None
        if rows.ndim == 2:
            torch.mm(upstream.flatten(1).mT, rows, out=ctx.gradient.flatten(0, 1))
        else:
            _add_products(ctx.gradient, upstream.permute(1, 2, 0), rows.transpose(0, 1), keep=0)
            if ctx.needs_input_grad[0]:
                by_rows = torch.empty_like(rows, memory_format=torch.contiguous_format)
                _add_products(by_rows.transpose(0, 1), upstream.transpose(0, 1), weight, keep=0)
        return by_rows, None, _sum_of_rows(upstream), None


class StackedResidual(torch.autograd.Function):
    """F + s ⊙ h(F) of F (n, D), which all heads share, or (n, H, D), neither with a gradient, and scales s (H, D)."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, scale: Tensor, tuned: Tensor) -> Tensor:
        """Z (n, H, D)."""
        ctx.save_for_backward(scale, tuned)
        return torch.addcmul(features[:, None] if features.ndim == 2 else features, scale, tuned)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor, Tensor]:
        """Gradients by scales and by what they multiply."""
        scale, tuned = ctx.saved_tensors
        return None, _sum_of_rows(gradients[0] * tuned), gradients[0] * scale


def _add_products(total: Tensor, first: Tensor, second: Tensor, *, keep: int = 1) -> None:
    """Total (H, i, j): becomes ``keep`` · total + first (H, i, k) · second (H, k, j)."""
    if total.device.type != "cpu" or total[0].numel() * first.shape[2] >= _SMALL:
        total.baddbmm_(first, second, beta=keep)
        return
    for one, left, right in zip(total, first, second, strict=True):
        one.addmm_(left, right, beta=keep)


def _sum_of_rows(rows: Tensor) -> Tensor:
    """(n, H, C) to (H, C), in the order in which (n, C) alone is summed: on a CPU the width decides that."""
    if rows.device.type != "cpu" or rows.shape[2] % _VECTOR == 0:
        return rows.sum(0)
    return torch.stack([own.sum(0) for own in rows.unbind(1)])
