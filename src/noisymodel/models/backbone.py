"""What a backbone is to a head: a module that gives one row of known width for each sample."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from ..features.extraction.layers import OUTPUT, as_tensor, caught
from ..features.extraction.weights import left_as_it_was


class PooledBackbone(nn.Module):
    """A backbone that gives (B, ``num_features``); made by `timm_backbone` and its like.

    The parts of the model that its features do not pass, such as a classifier, never ask for a gradient:
    DistributedDataParallel would wait for it.
    """

    num_features: int

    def __init__(self, num_features: int, unused: Sequence[str] = ()) -> None:
        super().__init__()
        self.num_features = num_features
        self.unused = tuple(unused)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """As of every module, but for the parts that are not used."""
        super().requires_grad_(requires_grad)
        return self.freeze_unused()

    def freeze_unused(self) -> Self:
        """Take the gradients of what is not used, as it is taken from the start; returns the backbone."""
        for name in self.unused:
            self.get_submodule(name).requires_grad_(False)
        return self

    def checked(self, features: Tensor) -> Tensor:
        """The features, if they are (B, ``num_features``)."""
        if features.ndim != 2 or features.shape[1] != self.num_features:
            raise ValueError(
                f"the backbone gives {tuple(features.shape)}, expected (B, {self.num_features}): "
                "its pooling is switched off, or the width it names is another one"
            )
        return features

    def extra_repr(self) -> str:
        """The width, for ``print``."""
        return f"num_features={self.num_features}"


def check_twice(backbone: PooledBackbone, example: Tensor | Sequence[Any] | Mapping[str, Any] | None) -> None:
    """Pass an example twice in evaluation mode: the features are (B, ``num_features``), and the same."""
    if example is None:
        return
    arguments, keywords = split_inputs(example)
    with torch.no_grad(), left_as_it_was(backbone, None):
        first, second = (backbone(*arguments, **keywords) for _ in range(2))
    if not torch.equal(first, second):
        raise ValueError(
            "the backbone's features are not the same when `example` is passed twice in evaluation mode: something in "
            "it is random"
        )


def split_inputs(inputs: object) -> tuple[Sequence[Any], Mapping[str, Any]]:
    """Positional and keyword arguments of a tensor, a tuple of the former, or a dictionary of the latter."""
    if isinstance(inputs, Mapping):
        return (), {str(name): value for name, value in inputs.items()}
    if isinstance(inputs, (tuple, list)):
        return tuple(inputs), {}
    return (inputs,), {}


def check_width(backbone: nn.Module, in_features: int, layer: str) -> None:
    """A backbone that names its width is that of the head; others are looked at when there are features."""
    if layer == OUTPUT and isinstance(backbone, PooledBackbone) and backbone.num_features != in_features:
        raise ValueError(
            f"`head` must be for the backbone's {backbone.num_features} features, got in_features={in_features}"
        )


def taken(backbone: nn.Module, layer: str, inputs: Sequence[Any], keywords: Mapping[str, Any]) -> Tensor:
    """What a layer gives in a forward pass of the backbone."""
    if layer == OUTPUT:
        return as_tensor(backbone(*inputs, **keywords), layer)
    _check_shards(backbone, layer)
    with caught(backbone, [layer]) as found:
        backbone(*inputs, **keywords)
    if layer not in found:
        raise ValueError(f"`layer` {layer!r} was not used in the forward pass: name another one")
    return found[layer]


def _check_shards(backbone: nn.Module, layer: str) -> None:
    """FSDP2 gathers a module's gradients when its output is differentiated, which here is not used."""
    sharding = sys.modules.get("torch.distributed.fsdp")  # whoever shards has imported it
    if sharding is None or not torch.is_grad_enabled():
        return
    parts = layer.partition(":")[0].split(".")
    for depth in range(len(parts)):
        name = ".".join(parts[:depth])
        if isinstance(backbone.get_submodule(name), getattr(sharding, "FSDPModule", ())):
            raise ValueError(
                f"`layer` {layer!r} lies inside {f'part {name!r}' if name else 'the backbone'}, which fully_shard "
                "was called on: its gradients would be wrong. Call fully_shard on the whole TunedModel instead, or on "
                "parts that do not contain the layer"
            )
