"""Small backbones of pictures: a residual CNN and a vision transformer, for pictures of some sixteen pixels a side."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .attention import Block


class ResidualBlock(nn.Module):
    """ReLU(x + BN(conv(ReLU(BN(conv(x)))))), two 3×3 convolutions.

    If the width changes, x is projected; with a stride, x is first averaged over 2 × 2. (The usual projection with a
    stride crashes on some processors in the faster memory format: torch 2.13.)
    """

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(after)
        self.second = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(after)
        same = before == after and stride == 1
        pool = nn.AvgPool2d(stride, ceil_mode=True, count_include_pad=False)
        projected = [pool, nn.Conv2d(before, after, 1, bias=False), nn.BatchNorm2d(after)]
        self.shortcut = nn.Identity() if same else nn.Sequential(*projected)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps ``(n, C, H, W)`` to maps."""
        hidden = self.first_norm(self.first(maps)).relu()
        return (self.second_norm(self.second(hidden)) + self.shortcut(maps)).relu()


def small_resnet(shape: Sequence[int], widths: Sequence[int]) -> nn.Module:
    """Rows to the averages of the last maps, ``(n, widths[-1])``.

    A 3×3 convolution, then a residual block for each width; each but the first halves height and width.
    """
    stem = [nn.Conv2d(shape[0], widths[0], 3, padding=1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()]
    pairs = zip([widths[0], *widths[:-1]], widths, strict=True)
    blocks = [ResidualBlock(before, after, 2 if index else 1) for index, (before, after) in enumerate(pairs)]
    network = nn.Sequential(nn.Unflatten(1, tuple(shape)), *stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    if any(width % 8 for width in widths):  # with 4 channels torch 2.13 writes out of bounds in backward
        return network
    for part in network.modules():
        if isinstance(part, nn.Conv2d):  # 1.6 times as fast on a CPU
            part.weight = nn.Parameter(part.weight.detach().contiguous(memory_format=torch.channels_last))
    return network


class SmallVisionTransformer(nn.Module):
    """Rows to the mean of the tokens after the last LayerNorm, ``(n, width)``.

    A token for each ``patch`` × ``patch`` pixels (borders are padded with zeros), learned positions, ``depth`` blocks.
    """

    def __init__(self, shape: Sequence[int], *, patch: int, width: int, depth: int, heads: int) -> None:
        super().__init__()
        channels, height, wide = shape
        tokens = -(-height // patch) * -(-wide // patch)
        self.shape = tuple(shape)
        self.padding = (0, -wide % patch, 0, -height % patch)
        self.unfold = nn.Unfold(patch, stride=patch)
        self.embed = nn.Linear(channels * patch**2, width)
        self.positions = nn.Parameter(torch.empty(tokens, width))
        nn.init.normal_(self.positions, std=0.02)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)

    def forward(self, rows: Tensor) -> Tensor:
        """Features ``(n, width)``."""
        pictures = nn.functional.pad(rows.unflatten(1, self.shape), self.padding)
        tokens = self.embed(self.unfold(pictures).mT) + self.positions
        return self.norm(self.blocks(tokens)).mean(1)
