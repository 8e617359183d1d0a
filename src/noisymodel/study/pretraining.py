"""Pre-training small networks on noisy labels, many at once.

Networks of one shape are trained together as one batched model: each has its own parameters, labels and batch
statistics, and sees the pictures in the same order from the same initial values, so that networks differ by their
labels alone.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from .._random import tensor_generator
from .config import PretrainingConfig

_INITIALISATION, _ORDER = range(2)
OBJECTIVES = ("supervised",)
NOISE_KINDS = ("symmetric",)


def fits(source_kind: str, objective: str, architecture: str, noise_kind: str) -> bool:
    """Whether these go together."""
    fitting = {"supervised": ("mlp",)}
    return source_kind != "texts" and architecture in fitting.get(objective, ()) and noise_kind in NOISE_KINDS


_SCALES = {"linear": 1.0, "kaiming": 6.0}


class SmallNetwork(nn.Module):
    """Pixels to features to classes: blocks of Linear – BatchNorm – ReLU, then a linear classifier.

    ``forward(images)`` maps ``(n, height, width)`` to logits ``(n, classes)``; ``features(images)`` to the output of
    the last block, ``(n, widths[-1])``, non-negative. Weights of the blocks are He-uniform; those of the classifier are
    uniform in ±1/√D, or He-uniform with ``classifier_init="kaiming"``, 2.4 times as large. Linear layers before a
    BatchNorm have no bias: it would have no effect, and its gradient is rounding noise that AdamW turns into steps of
    full length.
    """

    def __init__(
        self, pixels: int, widths: Sequence[int], classes: int, *, classifier_init: str, generator: torch.Generator
    ) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        for before, after in zip([pixels, *widths[:-1]], widths, strict=True):
            blocks += [
                _linear(before, after, _SCALES["kaiming"], generator, bias=False),
                nn.BatchNorm1d(after),
                nn.ReLU(),
            ]
        self.name = "-".join(["mlp", *map(str, [pixels, *widths])])
        self.backbone = nn.Sequential(*blocks)
        self.classifier = _linear(widths[-1], classes, _SCALES[classifier_init], generator, bias=True)

    def features(self, images: Tensor) -> Tensor:
        """The output of the last block."""
        return self.backbone(images.flatten(1))

    def forward(self, images: Tensor) -> Tensor:
        """Logits."""
        return self.classifier(self.features(images))


def _linear(before: int, after: int, scale: float, generator: torch.Generator, *, bias: bool) -> nn.Linear:
    """Weights U(−√(scale/before), √(scale/before)); biases zero."""
    layer = cast(nn.Linear, nn.utils.skip_init(nn.Linear, before, after, bias=bias))
    bound = math.sqrt(scale / before)
    nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


class Pretrained(NamedTuple):
    """Networks of one shape that were trained together."""

    network: SmallNetwork
    """The shape; its own parameters are the common initial values."""
    states: tuple[Mapping[str, Tensor], ...]
    """A state dictionary per network."""

    def one(self, index: int) -> SmallNetwork:
        """Network ``index`` in evaluation mode, its parameters frozen."""
        network = copy.deepcopy(self.network)
        network.load_state_dict(dict(self.states[index]))
        return network.eval().requires_grad_(False)


def build_network(pixels: int, classes: int, config: PretrainingConfig, *, seed: int) -> SmallNetwork:
    """The network of a seed at its initial values."""
    generator = tensor_generator(seed, _INITIALISATION)
    return SmallNetwork(pixels, config.widths, classes, classifier_init=config.classifier_init, generator=generator)


class StackedNetworks(nn.Module):
    """Copies of one :class:`SmallNetwork` that are trained together: their matrix products are one batched product.

    ``forward(images)`` maps ``(n, height, width)`` to the logits of every network, ``(networks, n, classes)``, with
    each network's own batch statistics. In all else as ``networks`` modules would do one after another.
    """

    def __init__(self, network: SmallNetwork, networks: int) -> None:
        super().__init__()
        self.names = list(network.state_dict())
        for name, value in network.state_dict().items():
            stacked = value.expand(networks, *value.shape).clone()
            if value.is_floating_point() and "running" not in name:
                self.register_parameter(_attribute(name), nn.Parameter(stacked))
            else:
                self.register_buffer(_attribute(name), stacked)
        self.layers = [int(name.split(".")[1]) for name in self.names if name.endswith("running_mean")]
        self.networks = networks

    def stacked(self, name: str) -> Tensor:
        """A parameter or buffer of all networks, ``(networks, ...)``, under its name in :class:`SmallNetwork`."""
        return getattr(self, _attribute(name))

    def forward(self, images: Tensor) -> Tensor:
        """Logits of every network in training mode; running statistics are updated."""
        hidden = images.flatten(1).expand(self.networks, -1, -1)
        for norm in self.layers:
            hidden = torch.bmm(hidden, self.stacked(f"backbone.{norm - 1}.weight").mT)
            hidden = self._normalised(hidden, f"backbone.{norm}").relu()
        bias = self.stacked("classifier.bias")[:, None]
        return torch.baddbmm(bias, hidden, self.stacked("classifier.weight").mT)

    def _normalised(self, hidden: Tensor, name: str) -> Tensor:
        """BatchNorm of ``(networks, n, width)``: one of networks · width channels."""
        networks, rows, width = hidden.shape
        self.stacked(f"{name}.num_batches_tracked").add_(1)
        channels = ("running_mean", "running_var", "weight", "bias")
        normalised = nn.functional.batch_norm(
            hidden.transpose(0, 1).reshape(rows, networks * width),
            *(self.stacked(f"{name}.{channel}").view(-1) for channel in channels),
            training=True,
        )
        return normalised.view(rows, networks, width).transpose(0, 1)

    def states(self) -> tuple[dict[str, Tensor], ...]:
        """A state dictionary of :class:`SmallNetwork` per network."""
        values = {name: self.stacked(name).detach() for name in self.names}
        return tuple({name: value[index].clone() for name, value in values.items()} for index in range(self.networks))


def _attribute(name: str) -> str:
    return name.replace(".", "_")


def pretrain(images: Tensor, labels: Tensor, classes: int, config: PretrainingConfig, *, seed: int) -> Pretrained:
    """Train one network per row of labels on the same pictures.

    AdamW with a linear warm-up times a cosine decay to zero; the loss is the mean cross-entropy of the batch.

    Args:
        images: ``(n, height, width)``, floating point.
        labels: ``(networks, n)``, integers in ``range(classes)``.
        classes: number of classes.
        config: width, length and optimiser of the training.
        seed: fixes the initial values and the order of the pictures, both the same for all networks.

    Each network gets what it would have got alone, up to the rounding of batched products.
    """
    count, rows = labels.shape
    network = build_network(images[0].numel(), classes, config, seed=seed)
    together = StackedNetworks(network, count)
    optimizer = torch.optim.AdamW(
        together.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
    batches_per_epoch = math.ceil(rows / config.batch_size)
    step, steps = 0, config.epochs * batches_per_epoch
    order = tensor_generator(seed, _ORDER)
    for _ in range(config.epochs):
        for chosen in torch.randperm(rows, generator=order).split(config.batch_size):
            warmed = min((step + 1) / (config.warmup * batches_per_epoch), 1.0) if config.warmup else 1.0
            decayed = 0.5 * (1 + math.cos(math.pi * step / steps))
            optimizer.param_groups[0]["lr"] = config.learning_rate * warmed * decayed
            logits = together(images[chosen])
            loss = nn.functional.cross_entropy(logits.flatten(0, 1), labels[:, chosen].flatten()) * count
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
    return Pretrained(network, together.states())
