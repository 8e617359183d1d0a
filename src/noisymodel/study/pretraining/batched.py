"""Pre-training small multilayer networks on noisy labels, all noise rates at once.

Networks of one shape are trained together as one batched model: each has its own parameters, labels and batch
statistics, and sees the pictures in the same order from the same initial values, so that networks differ by their
labels alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from ..._random import tensor_generator
from ..config import PretrainingConfig
from .network import Body, ClassifyingNetwork, Pretrained
from .request import ORDER
from .schedule import Schedule, diverged


def small_mlp(pixels: int, widths: Sequence[int], generator: torch.Generator) -> Body:
    """Blocks of Linear – BatchNorm – ReLU; the features are non-negative.

    The linear layers have He-uniform weights, U(±√(6/inputs)), and no bias: before a BatchNorm it would have no effect,
    and its gradient is rounding noise that AdamW turns into steps of full length.
    """
    blocks: list[nn.Module] = []
    device = "meta" if torch.empty(0).is_meta else "cpu"  # meta: only sizes are needed, no values
    for before, after in zip([pixels, *widths[:-1]], widths, strict=True):
        linear = cast(nn.Linear, skip_init(nn.Linear, before, after, bias=False, device=device))
        bound = math.sqrt(6 / before)
        nn.init.uniform_(linear.weight, -bound, bound, generator=generator)
        blocks += [linear, nn.BatchNorm1d(after), nn.ReLU()]
    name = "-".join(["mlp", *map(str, [pixels, *widths])])
    return Body(name, nn.Sequential(*blocks), pixels, widths[-1])


class StackedNetworks(nn.Module):
    """Copies of one `small_mlp` with a classifier, trained together: their matrix products are one batched product.

    ``forward(images)`` maps ``(n, height, width)`` to the logits of every network, ``(networks, n, classes)``, with
    each network's own batch statistics. Otherwise they act like ``networks`` separate modules.
    """

    def __init__(self, network: ClassifyingNetwork, networks: int) -> None:
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
        """A parameter or buffer of all networks, ``(networks, ...)``, under its name in one network."""
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
        """A state dictionary per network."""
        values = {name: self.stacked(name).detach() for name in self.names}
        return tuple({name: value[index].clone() for name, value in values.items()} for index in range(self.networks))


def _attribute(name: str) -> str:
    return name.replace(".", "_")


def pretrain_together(
    network: ClassifyingNetwork, images: Tensor, labels: Tensor, config: PretrainingConfig, *, seed: int
) -> Pretrained:
    """Train one network per row of labels on the same pictures.

    AdamW with a linear warm-up times a cosine decay to zero; the loss is the mean cross-entropy of the batch.

    Args:
        network: a `small_mlp` with a classifier, at the initial values of all networks.
        images: ``(n, height, width)``, floating point.
        labels: ``(networks, n)``, the classes.
        config: length and optimiser of the training.
        seed: fixes the order of the pictures, the same for all networks.

    Each network equals one that is trained alone, up to the rounding of batched products.

    Raises:
        StudyError: the loss is not finite.
    """
    count, rows = labels.shape
    together = StackedNetworks(network, count)
    optimizer = torch.optim.AdamW(
        together.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
    schedule = Schedule.of(config, rows)
    step = 0
    order = tensor_generator(seed, ORDER)
    for _ in range(config.epochs):
        for chosen in torch.randperm(rows, generator=order).split(config.batch_size):
            optimizer.param_groups[0]["lr"] = schedule(step)
            logits = together(images[chosen])
            loss = nn.functional.cross_entropy(logits.flatten(0, 1), labels[:, chosen].flatten()) * count
            if not math.isfinite(loss.item()):
                raise diverged("one of its noise rates", step, schedule, loss.item(), None)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
    return Pretrained(network, together.states())
