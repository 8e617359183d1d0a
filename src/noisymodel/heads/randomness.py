"""Layers that draw random numbers while training, by themselves or as they are told."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from .normalization import root_mean_square


class InputNoise(nn.Module):
    """F + σ · rms(f) · u · ε by rows while training, ε ~ N(0, I) and u ~ U(0, 1) for each row; else F.

    ``drawn`` (n, D) are the next products u · ε; ``None``: torch's global generator draws them, as it does for dropout.
    """

    drawn: Tensor | None

    def __init__(self, in_features: int, deviation: float) -> None:
        super().__init__()
        self.in_features, self.deviation = in_features, deviation
        self.register_buffer("drawn", None, persistent=False)

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """U · ε (count, D) in float32 on the CPU."""
        normal = torch.empty(count, self.in_features, dtype=torch.float32, device="cpu").normal_(generator=generator)
        uniform = torch.empty(count, 1, dtype=torch.float32, device="cpu").uniform_(generator=generator)
        return normal.mul_(uniform)

    def forward(self, rows: Tensor) -> Tensor:
        """Rows (n, D) to rows (n, D)."""
        if not self.training or self.deviation == 0:
            return rows
        drawn = self.drawn
        if drawn is None:
            drawn = torch.randn_like(rows) * torch.rand_like(rows[:, :1])
        return rows + self.deviation * root_mean_square(rows) * drawn.to(rows)

    def extra_repr(self) -> str:
        """The deviation, for ``print``."""
        return f"{self.deviation:g}"


class Dropout(nn.Dropout):
    """`torch.nn.Dropout` of rows (n, ``width``), for which ``drawn`` may be the next factors."""

    drawn: Tensor | None

    def __init__(self, width: int, p: float) -> None:
        super().__init__(p)
        self.width = width
        self.register_buffer("drawn", None, persistent=False)

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Factors (count, width), 0 or 1 / (1 − p), in float32 on the CPU."""
        kept = 1 - self.p
        factors = torch.zeros(count, self.width, dtype=torch.float32, device="cpu")
        return factors.bernoulli_(kept, generator=generator).div_(kept) if kept else factors

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's own name
        """Rows (n, width) to rows (n, width)."""
        if not self.training or self.drawn is None:
            return super().forward(input)
        return input * self.drawn.to(input)


def random_layers(module: nn.Module) -> dict[str, InputNoise | Dropout]:
    """The layers of a module that can be told what to draw, and would draw while training, by name."""
    layers = {name: layer for name, layer in module.named_modules() if isinstance(layer, InputNoise | Dropout)}
    return {name: layer for name, layer in layers.items() if not isinstance(layer, InputNoise) or layer.deviation}


_DRAW = (nn.modules.dropout._DropoutNd, nn.RReLU, nn.MultiheadAttention, nn.RNNBase)  # pyright: ignore[reportPrivateUsage] # torch has no other name for its dropouts


def draws_by_itself(module: nn.Module) -> bool:
    """Whether parts of a module may draw from torch's global generator: torch's own that do, and all unknown ones."""
    others = [part for part in module.modules() if not isinstance(part, InputNoise | Dropout)]
    return any(
        isinstance(part, _DRAW) or type(part).__module__.split(".")[0] not in ("torch", "noisymodel") for part in others
    )


class Draws:
    """What the random layers of a module draw, from a generator and batch by batch.

    The numbers of batches of one size are kept in the same memory, as compiled steps and CUDA graphs want.
    """

    def __init__(self, module: nn.Module) -> None:
        self.layers = list(random_layers(module).values())
        self._kept: dict[tuple[int, int], Tensor] = {}

    def next(self, count: int, generator: torch.Generator, like: Tensor, part: slice = slice(None)) -> None:
        """Draw for ``count`` rows, in the layers' order, with the type and on the device of ``like``; take a part."""
        for number, layer in enumerate(self.layers):
            drawn = layer.draw(count, generator)
            if like.is_cuda:
                drawn = drawn.pin_memory()
            kept = self._kept.get((number, count))
            if kept is None:
                kept = self._kept[number, count] = torch.empty_like(drawn, dtype=like.dtype, device=like.device)
            layer.drawn = kept.copy_(drawn, non_blocking=True)[part]

    @contextmanager
    def cleared(self) -> Generator[None]:
        """Let the layers draw for themselves again, once the block is over."""
        try:
            yield
        finally:
            for layer in self.layers:
                layer.drawn = None
