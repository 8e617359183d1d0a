"""A custom derivative that survives `torch.compile` of `torch.func.grad`.

Within `torch.func.grad` torch's compiler inlines an autograd function, forgets its backward pass and differentiates its
forward pass instead: slow, and wrong where that is an iteration. There each value becomes v + Σ G∘(x − x'), x' being x
without a derivative and G the gradient that is written by hand: equal to v, and with derivative G.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class _Context:
    """What an autograd function asks of its context."""

    def __init__(self, num_inputs: int) -> None:
        self.needs_input_grad = (True,) * num_inputs
        self.saved_tensors: tuple[Tensor, ...] = ()

    def save_for_backward(self, *tensors: Tensor) -> None:
        self.saved_tensors = tensors

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        pass

    def set_materialize_grads(self, value: bool) -> None:
        pass


def apply(
    function: Any,
    gradients: Callable[..., tuple[Tensor | None, ...]],
    tensors: tuple[Tensor, ...],
    *arguments: Any,
    values: int,
) -> tuple[Tensor, ...]:
    """``function.apply`` of tensors and other arguments.

    ``gradients`` is what its backward pass makes of the context and of the derivatives by the first outputs, ``values``
    many; the other outputs have none, and are not returned where there is a compiler.
    """
    if not torch.compiler.is_compiling() or not _gradients_asked_for():
        return function.apply(*tensors, *arguments)
    if _gradients_asked_for() > 1:
        raise NotImplementedError("the regularizers have no second derivative, their gradients are written by hand")
    constants = tuple(tensor.detach() for tensor in tensors)
    outputs = function.forward(*constants, *arguments)
    context = _Context(len(tensors))
    function.setup_context(context, (*constants, *arguments), outputs)
    found: list[Tensor] = []
    for index, value in enumerate(outputs[:values]):
        upstream = [torch.ones_like(value) if place == index else None for place in range(values)]
        for tensor, constant, gradient in zip(tensors, constants, gradients(context, *upstream), strict=True):
            if gradient is not None:
                difference = tensor.to(value.dtype) - constant.to(value.dtype)
                value = value + (difference * gradient.detach().to(value.dtype)).sum()
        found.append(value)
    return tuple(found)


@torch.compiler.assume_constant_result
def _gradients_asked_for() -> int:
    """How many `torch.func.grad` are at work."""
    functorch: Any = vars(torch)["_C"]._functorch
    stack = functorch.get_interpreter_stack() or []
    return sum(level.key() == functorch.TransformType.Grad for level in stack)
