"""The layers of a backbone: outputs or inputs of its parts, pooled to one row for each sample."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
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
    """Check that all layers are parts of the backbone: names of `named_modules`, with or without ``:input``."""
    choose = getattr(backbone, "choose", None)
    if choose is not None:  # an ONNX graph, whose tensors have names
        choose(layers)
        return
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
    """Yield a dictionary that each forward pass fills with the values of ``layers``; then remove the hooks."""
    found: Caught = {}
    hooks: list[Any] = []
    try:
        for layer in layers:
            if layer == OUTPUT or hasattr(backbone, "choose"):
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
    """The tensor in an output: the tensor itself, the first of a tuple, or transformers' embeddings or states."""
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
    """Pool the values to one row for each sample.

    (B, D) does not change. (B, C, H, W) is averaged over H and W. (B, T, D) is pooled by a rule of `POOLINGS` over the
    tokens that the attention mask keeps, or over all without a mask; rules joined by ``+`` are concatenated.
    """
    if values.ndim == 2:
        return values
    if values.ndim == 4:
        return values.mean((2, 3))
    if values.ndim != 3:
        raise ValueError(f"layer {layer!r} gives {tuple(values.shape)}, expected (B, D), (B, T, D) or (B, C, H, W)")
    if mask is None or tuple(mask.shape) != tuple(values.shape[:2]):  # a mask of other tokens: text beside an image
        mask = torch.ones(values.shape[:2], dtype=torch.int64, device=values.device)
    kept = mask.to(values.device).bool()
    wide = values.float() if values.dtype in (torch.float16, torch.bfloat16) else values  # for accurate sums
    parts = [POOLINGS[rule](wide, kept) for rule in pooling.split("+")]
    return torch.cat(parts, dim=1).to(values.dtype)


def _first(values: Tensor, kept: Tensor) -> Tensor:
    return values[torch.arange(len(values), device=values.device), kept.int().argmax(1)]


def _last(values: Tensor, kept: Tensor) -> Tensor:
    place = kept.shape[1] - 1 - kept.flip(1).int().argmax(1)
    return values[torch.arange(len(values), device=values.device), place]


def _largest(values: Tensor, kept: Tensor) -> Tensor:
    return values.masked_fill(~kept[..., None], -torch.inf).amax(1)


def _sum(values: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    weights = weights[..., None].to(values.dtype)
    return (values * weights).sum(1), weights.sum(1).clamp_min(1)


def _mean(values: Tensor, kept: Tensor) -> Tensor:
    total, count = _sum(values, kept)
    return total / count


def _mean_by_root(values: Tensor, kept: Tensor) -> Tensor:
    total, count = _sum(values, kept)
    return total / count.sqrt()


def _mean_by_place(values: Tensor, kept: Tensor) -> Tensor:
    total, count = _sum(values, kept.cumsum(1) * kept)  # the first token has weight one, the second two
    return total / count


POOLINGS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mean": _mean,
    "cls": _first,
    "last": _last,
    "max": _largest,
    "mean_sqrt_len_tokens": _mean_by_root,
    "weightedmean": _mean_by_place,
}
"""Functions by name from tokens (B, T, D) and their mask (B, T) to rows (B, D); names as in sentence-transformers."""
