"""What is taken from a backbone: outputs or inputs of its parts, as one row for each sample."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

OUTPUT = "output"  # the name of the backbone's own output
_INPUT = ":input"
_OF_MODEL_OUTPUTS = ("image_embeds", "text_embeds", "last_hidden_state", "pooler_output", "logits")

Caught = dict[str, Tensor]


def check_layers(backbone: nn.Module, layers: Sequence[str]) -> None:
    """All are parts of the backbone, by the names of `named_modules`, with ``:input`` after them or not."""
    known = dict(backbone.named_modules())
    for layer in layers:
        name = layer.removesuffix(_INPUT)
        if layer != OUTPUT and (not name or name not in known):
            near = [other for other in known if name.rpartition(".")[2] in other and other][:5] or list(known)[1:6]
            raise ValueError(
                f"`layer` {layer!r} is no part of the backbone; there are, among others, {', '.join(near)}"
            )


@contextmanager
def caught(backbone: nn.Module, layers: Sequence[str]) -> Generator[Caught]:
    """A dictionary that holds, after each forward pass, what went through ``layers``; the hooks are gone afterwards."""
    found: Caught = {}
    hooks: list[Any] = []
    try:
        for layer in layers:
            if layer == OUTPUT:
                continue
            part = backbone.get_submodule(layer.removesuffix(_INPUT))
            if layer.endswith(_INPUT):
                hooks.append(part.register_forward_pre_hook(partial(_keep_input, found, layer), with_kwargs=True))
            else:
                hooks.append(part.register_forward_hook(partial(_keep_output, found, layer)))
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def _keep_input(
    found: Caught, layer: str, _: nn.Module, given: tuple[object, ...], keywords: dict[str, object]
) -> None:
    found[layer] = as_tensor(given or tuple(keywords.values()), layer)


def _keep_output(found: Caught, layer: str, _: nn.Module, __: object, output: object) -> None:
    found[layer] = as_tensor(output, layer)


def as_tensor(value: object, layer: str) -> Tensor:
    """The tensor of an output: itself, the first of a tuple, or the embeddings or hidden states of transformers."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, Mapping) or hasattr(value, "last_hidden_state"):
        for name in _OF_MODEL_OUTPUTS:
            part = value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
            if isinstance(part, Tensor):
                return part
    if isinstance(value, (tuple, list)) and value:
        return as_tensor(cast("Sequence[object]", value)[0], layer)
    raise TypeError(
        f"layer {layer!r} gives {type(value).__name__}, which holds no tensor that is known: name another `layer`"
    )


def pooled(values: Tensor, pooling: str, mask: Tensor | None, layer: str) -> Tensor:
    """One row for each sample, by one rule.

    (B, D) as it is; (B, C, H, W): mean over H and W; (B, T, D): the ``"mean"`` over T (of the tokens that the attention
    mask keeps, where there is one), the first token (``"cls"``), or the ``"last"`` one that the mask keeps.
    """
    if values.ndim == 2:
        return values
    if values.ndim == 4:
        return values.mean((2, 3))
    if values.ndim != 3:
        raise ValueError(f"layer {layer!r} gives {tuple(values.shape)}, expected (B, D), (B, T, D) or (B, C, H, W)")
    if mask is not None and tuple(mask.shape) != tuple(values.shape[:2]):
        mask = None  # of other tokens, such as a text's beside an image's
    if pooling == "cls":
        return values[:, 0]
    if pooling == "last":
        if mask is None:
            return values[:, -1]
        place = mask.shape[1] - 1 - mask.bool().flip(1).int().argmax(1)
        return values[torch.arange(len(values), device=values.device), place.to(values.device)]
    if mask is None:
        return values.mean(1)
    weights = mask[..., None].to(values.dtype)
    return (values * weights).sum(1) / weights.sum(1).clamp_min(1)
