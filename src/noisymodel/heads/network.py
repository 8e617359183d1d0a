"""The layers of the heads, with initial weights from an explicit generator."""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from .._checks import check_choice, check_flag, check_generator, check_integer, check_number
from .randomness import Dropout, InputNoise

HIDDEN_CAP = 2048
"""The largest width of hidden layers that ``hidden_features=None`` stands for."""
MAX_DEPTH = 1000
_MAX_SIZE = 2**31 - 1


class TuningNetwork(nn.Module):
    """The network h of NMTune: Z = h(F), or Z = s ⊙ h(F) + F with ``residual``; rows (N, D) to rows (N, D).

    h is ``depth`` times (Linear, norm, ReLU, dropout) of ``hidden_features``, then a Linear back to D features;
    s (D,) is learned and starts at one. While training, noise is added to F first.
    """

    def __init__(
        self,
        in_features: int,
        *,
        hidden_features: int | None,
        depth: int,
        norm: str | None,
        residual: bool,
        dropout: float,
        input_noise: float,
        generator: torch.Generator | None,
    ) -> None:
        super().__init__()
        check_choice(norm, "norm", ("batch", "layer", None))
        check_generator(generator)
        in_features = check_size(in_features, "in_features")
        if hidden_features is None:
            hidden_features = min(4 * in_features, HIDDEN_CAP)
        self.hidden_features = check_size(hidden_features, "hidden_features")
        self.depth = check_size(depth, "depth", maximum=MAX_DEPTH)
        self.norm = norm
        self.dropout = check_number(dropout, "dropout", minimum=0, maximum=1)
        self.noise = InputNoise(in_features, check_number(input_noise, "input_noise", minimum=0))
        layers: list[nn.Module] = []
        width = in_features
        for _ in range(self.depth):
            layers += [linear(width, self.hidden_features, generator), *self._after_linear()]
            width = self.hidden_features
        self.layers = nn.Sequential(*layers, linear(width, in_features, generator))
        self.scale = nn.Parameter(torch.ones(in_features)) if check_flag(residual, "residual") else None

    def _after_linear(self) -> list[nn.Module]:
        norms = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm}
        norm = [] if self.norm is None else [norms[self.norm](self.hidden_features)]
        return [*norm, nn.ReLU(), *([Dropout(self.hidden_features, self.dropout)] if self.dropout else [])]

    def forward(self, rows: Tensor) -> Tensor:
        """Z (N, D) of F (N, D)."""
        if any(isinstance(m, nn.BatchNorm1d) and m.training for m in self.layers) and rows.shape[0] == 1:
            raise ValueError(
                "`features` must have at least two rows while a head with norm='batch' is training, got one: "
                "use drop_last=True in the loader, or norm='layer', or head.eval()"
            )
        rows = self.noise(rows)
        tuned = self.layers(rows)
        return tuned if self.scale is None else torch.addcmul(rows, self.scale, tuned)

    def become_identity(self) -> None:
        """Let h be zero, so that Z = F.

        Raises:
            ValueError: without a residual connection.
        """
        if self.scale is None:
            raise ValueError("a head can begin at Z = F only with a residual connection: make it with `residual=True`")
        last = cast(nn.Linear, self.layers[-1])
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def settings(self) -> dict[str, Any]:
        """The arguments that make this network again."""
        settings = {name: getattr(self, name) for name in ("hidden_features", "depth", "norm", "dropout")}
        return {**settings, "residual": self.scale is not None, "input_noise": self.noise.deviation}


def check_size(value: object, name: str, *, minimum: int = 1, maximum: int = _MAX_SIZE) -> int:
    """A number of features, classes or layers that a tensor can have."""
    return check_integer(value, name, minimum=minimum, maximum=maximum)


def linear(in_features: int, out_features: int, generator: torch.Generator | None) -> nn.Linear:
    """A linear layer with torch's own initial distribution: weights and biases in ±1/√in_features, uniform."""
    layer = empty_linear(in_features, out_features)
    bound = 1 / math.sqrt(in_features)
    _draw_uniform(layer.weight, bound, generator)
    _draw_uniform(layer.bias, bound, generator)
    return layer


CLASSIFIER_INITS = {"linear": 1.0, "kaiming": 6.0}
"""Name of a classifier's start -> s in weights uniform in ±√(s / in_features)."""


def classifier(in_features: int, num_classes: int, init: str, generator: torch.Generator | None) -> nn.Linear:
    """A linear layer with weights uniform in ±1/√in_features (``"linear"``) or ±√(6/in_features); zero biases."""
    layer = empty_linear(in_features, num_classes)
    _draw_uniform(layer.weight, math.sqrt(CLASSIFIER_INITS[init] / in_features), generator)
    nn.init.zeros_(layer.bias)
    return layer


def empty_linear(in_features: int, out_features: int) -> nn.Linear:
    """A layer whose making draws nothing from torch's global generator."""
    device = torch.empty(0).device  # the default: torch.get_default_device() misses `with torch.device(...)` up to 2.6
    return cast(nn.Linear, skip_init(nn.Linear, in_features, out_features, device=device))


def _draw_uniform(parameter: Tensor, bound: float, generator: torch.Generator | None) -> None:
    """Fill with uniform numbers, drawn on the CPU in float32, so that they are the same for every device and type."""
    if parameter.is_meta:
        return
    drawn = torch.empty(parameter.shape, dtype=torch.float32, device="cpu")
    with torch.no_grad():
        parameter.copy_(drawn.uniform_(-bound, bound, generator=generator))
