"""The interface of a backbone: a module that returns one row of known width for each sample."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from ..features.extraction.layers import OUTPUT, as_tensor, caught
from ..features.extraction.weights import left_as_it_was


class PooledBackbone(nn.Module):
    """A backbone that returns (B, ``num_features``); made by `timm_backbone` and similar functions.

    Unused parts of the model, such as a classifier, never require a gradient, because DistributedDataParallel would
    wait for it.
    """

    num_features: int

    def __init__(self, num_features: int, unused: Sequence[str] = ()) -> None:
        super().__init__()
        self.num_features = num_features
        self.unused = tuple(unused)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Set ``requires_grad`` as in every module, except for the unused parts."""
        super().requires_grad_(requires_grad)
        return self.freeze_unused()

    def freeze_unused(self) -> Self:
        """Set ``requires_grad`` of the unused parts to False, as at construction; returns the backbone."""
        for name in self.unused:
            self.get_submodule(name).requires_grad_(False)
        return self

    def checked(self, features: Tensor) -> Tensor:
        """Check that the features are (B, ``num_features``), and return them."""
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
    """Pass an example twice in evaluation mode; check that the features are (B, ``num_features``), and equal."""
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
    """Positional and keyword arguments from a tensor, a tuple of positional or a dictionary of keyword arguments."""
    if isinstance(inputs, Mapping):
        return (), {str(name): value for name, value in inputs.items()}
    if isinstance(inputs, (tuple, list)):
        return tuple(inputs), {}
    return (inputs,), {}


def taken(backbone: nn.Module, layer: str, inputs: Sequence[Any], keywords: Mapping[str, Any]) -> Tensor:
    """The features of a layer in a forward pass of the backbone."""
    if layer == OUTPUT:
        return as_tensor(backbone(*inputs, **keywords), layer)
    _check_shards(backbone, layer)
    with caught(backbone, [layer]) as found:
        backbone(*inputs, **keywords)
    if layer not in found:
        raise ValueError(f"`layer` {layer!r} was not used in the forward pass: name another one")
    return found[layer]


def _check_shards(backbone: nn.Module, layer: str) -> None:
    """Refuse a layer inside an FSDP2 module: FSDP2 gathers gradients through the output of the module, unused here."""
    sharding = sys.modules.get("torch.distributed.fsdp")  # a sharded model has imported it
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
