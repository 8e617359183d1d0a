"""Pre-training small networks on noisy labels, many at once.

Networks of one shape are trained together as one batched model (``torch.func``): each has its own parameters, labels
and batch statistics, and sees the pictures in the same order from the same initial values, so that networks differ by
their labels alone.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from .._random import tensor_generator
from .config import PretrainingConfig

_INITIALISATION, _ORDER = range(2)


class SmallNetwork(nn.Module):
    """Pixels to features to classes: blocks of Linear – BatchNorm – ReLU, then a linear classifier.

    ``forward(images)`` maps ``(n, height, width)`` to logits ``(n, classes)``; ``features(images)`` to the output of
    the last block, ``(n, widths[-1])``, non-negative. Weights of the blocks are He-uniform; those of the classifier are
    U(−1/√D, 1/√D), which matters: a classifier that starts 2.4 times larger (He-uniform) leaves the features of cleanly
    pre-trained networks less collapsed, and slight noise then has less to gain. Linear layers before a BatchNorm have
    no bias: it would have no effect, and its gradient is rounding noise that AdamW turns into steps of full length.
    """

    def __init__(self, pixels: int, widths: Sequence[int], classes: int, *, generator: torch.Generator) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        for before, after in zip([pixels, *widths[:-1]], widths, strict=True):
            blocks += [_linear(before, after, 6, generator, bias=False), nn.BatchNorm1d(after), nn.ReLU()]
        self.name = "-".join(["mlp", *map(str, [pixels, *widths])])
        self.backbone = nn.Sequential(*blocks)
        self.classifier = _linear(widths[-1], classes, 1, generator, bias=True)

    def features(self, images: Tensor) -> Tensor:
        """The output of the last block."""
        return self.backbone(images.flatten(1))

    def forward(self, images: Tensor) -> Tensor:
        """Logits."""
        return self.classifier(self.features(images))


def _linear(before: int, after: int, scale: float, generator: torch.Generator, *, bias: bool) -> nn.Linear:
    """Weights U(−√(scale/before), √(scale/before)), where 6 is He's scale; biases zero."""
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
    return SmallNetwork(pixels, config.widths, classes, generator=tensor_generator(seed, _INITIALISATION))


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
    parameters, buffers = stack_module_state([copy.deepcopy(network) for _ in range(count)])
    shape = copy.deepcopy(network).train()

    def logits_of_one(parameters: dict[str, Tensor], buffers: dict[str, Tensor], batch: Tensor) -> Tensor:
        return functional_call(shape, (parameters, buffers), (batch,))

    logits_of_all = vmap(logits_of_one, in_dims=(0, 0, None))
    optimizer = torch.optim.AdamW(
        list(parameters.values()), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
    batches_per_epoch = math.ceil(rows / config.batch_size)
    step, steps = 0, config.epochs * batches_per_epoch
    order = tensor_generator(seed, _ORDER)
    for _ in range(config.epochs):
        for chosen in torch.randperm(rows, generator=order).split(config.batch_size):
            warmed = min((step + 1) / (config.warmup * batches_per_epoch), 1.0) if config.warmup else 1.0
            optimizer.param_groups[0]["lr"] = (
                config.learning_rate * warmed * 0.5 * (1 + math.cos(math.pi * step / steps))
            )
            logits = logits_of_all(parameters, buffers, images[chosen])
            loss = nn.functional.cross_entropy(logits.flatten(0, 1), labels[:, chosen].flatten()) * count
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
    trained = {name: tensor.detach() for name, tensor in {**parameters, **buffers}.items()}
    states = tuple({name: tensor[index].clone() for name, tensor in trained.items()} for index in range(count))
    return Pretrained(network, states)
