"""Heads of one shape as one batched model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..heads import Head
from ..heads.network import TuningNetwork
from .layers import StackedLinear, StackedResidual

_VECTOR = 16  # float32 numbers in the widest register; AdamW's remainder is rounded otherwise


class Stacked(NamedTuple):
    """What the heads compute: logits (n, H, K) and Z (n, H, D)."""

    logits: Tensor
    tuned: Tensor


class StackedHeads:
    """Parameters and buffers of H heads of one shape, each of shape (H, ...), and their training-mode forward pass.

    In all else as the heads would do one after another: each has its own weights and batch statistics.
    """

    def __init__(self, heads: Sequence[Head], device: torch.device) -> None:
        self.template, self.count = heads[0], len(heads)
        states = [head.state_dict() for head in heads]
        stacked = {name: torch.stack([state[name] for state in states]).to(device) for name in states[0]}
        names = {name for name, _ in heads[0].named_parameters()}
        self.parameters = {name: value for name, value in stacked.items() if name in names}
        self.buffers = {name: value for name, value in stacked.items() if name not in names}
        self._gradients = {name: torch.zeros_like(value) for name, value in self.parameters.items()}
        self._small: list[Tensor] = []  # the gradients that autograd adds to
        for name, value in self.parameters.items():
            if value.ndim == 2:
                value.requires_grad_().grad = self._gradients[name]
                self._small.append(self._gradients[name])

    def slices(self, begin: int, end: int) -> list[Tensor]:
        """The parameters of some heads with their gradients, sharing memory with all, for an optimizer.

        A parameter that does not fill vector registers is cut by heads, so that its last numbers are rounded as alone.
        """
        views: list[Tensor] = []
        for name, value in self.parameters.items():
            fills = value[0].numel() % _VECTOR == 0
            for one in [slice(begin, end)] if fills else range(begin, end):
                view = value.detach()[one]
                view.grad = self._gradients[name][one]
                views.append(view)
        return views

    def forward(self, features: Tensor, masks: Sequence[Tensor]) -> Stacked:
        """Training mode: of features (n, D) that all heads share, or (n, H, D).

        ``masks`` (n, H, hidden) are what dropout multiplies by, in the order of the layers.
        """
        network = self.template.network
        tuned = features
        if isinstance(network, TuningNetwork):
            tuned = self._layers(network.layers, features, list(masks))
            if network.scale is not None:
                tuned = StackedResidual.apply(features, self.parameters["network.scale"], tuned)
        logits = self._linear("classifier", tuned)
        return Stacked(logits, tuned.expand(self.count, -1, -1).transpose(0, 1) if tuned.ndim == 2 else tuned)

    def backward(self, total: Tensor) -> None:
        """The gradients of the sum of (H,) losses: each head's own, since no head sees another."""
        for gradient in self._small:
            gradient.zero_()
        total.sum().backward()

    def state(self, index: int) -> dict[str, Tensor]:
        """A copy of the state dictionary of one head."""
        return {name: value.detach()[index].clone() for name, value in (self.parameters | self.buffers).items()}

    def _layers(self, layers: nn.Sequential, hidden: Tensor, masks: list[Tensor]) -> Tensor:
        for number, layer in layers.named_children():
            name = f"network.layers.{number}"
            if isinstance(layer, nn.Linear):
                hidden = self._linear(name, hidden)
            elif isinstance(layer, nn.BatchNorm1d):
                hidden = self._batch_norm(name, hidden, layer)
            elif isinstance(layer, nn.LayerNorm):
                weight, bias = self._affine(name)
                hidden = torch.addcmul(bias, functional.layer_norm(hidden, hidden.shape[-1:], eps=layer.eps), weight)
            elif isinstance(layer, nn.Dropout):
                hidden = hidden * masks.pop(0)
            else:
                hidden = hidden.relu_()
        return hidden

    def _affine(self, name: str) -> tuple[Tensor, Tensor]:
        return self.parameters[f"{name}.weight"], self.parameters[f"{name}.bias"]

    def _linear(self, name: str, rows: Tensor) -> Tensor:
        weight, bias = self._affine(name)
        product: Tensor = StackedLinear.apply(rows, weight, bias, self._gradients[f"{name}.weight"])
        return product

    def _batch_norm(self, name: str, hidden: Tensor, layer: nn.BatchNorm1d) -> Tensor:
        """Each head's own statistics: one BatchNorm of H · C channels."""
        flat = functional.batch_norm(
            hidden.flatten(1),
            *(self.buffers[f"{name}.running_{statistic}"].view(-1) for statistic in ("mean", "var")),
            *(parameter.view(-1) for parameter in self._affine(name)),
            training=True,
            momentum=0.1 if layer.momentum is None else layer.momentum,
            eps=layer.eps,
        )
        self.buffers[f"{name}.num_batches_tracked"].add_(1)
        return flat.view(hidden.shape)
