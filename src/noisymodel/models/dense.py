"""The rule of dense features: which dimension holds the features, which rows there are, which the statistics see."""

from __future__ import annotations

import sys
from typing import Any, NamedTuple, Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from .._checks import check_integer, check_seed
from .._random import tensor_generator

_MAP = 4  # so many dimensions have features in the second of them


def channels_last(features: Tensor) -> Tensor:
    """A view with the features in the last dimension, by one rule.

    (B, D) and (B, T, D) as they are: rows of samples, tokens or queries. (B, D, H, W), and (B, D, ...) of more
    dimensions, channels first, to (B, H, W, D): rows of pixels.

    Args:
        features: of two dimensions or more. Channels-last maps (B, H, W, D), as Swin's blocks give them, are to be
            permuted first; (B, D, T) of one-dimensional convolutions likewise.

    Raises:
        ValueError: with fewer than two dimensions.

    >>> import torch
    >>> from noisymodel.models import channels_last
    >>> channels_last(torch.zeros(2, 7, 3, 5)).shape, channels_last(torch.zeros(2, 9, 7)).shape
    (torch.Size([2, 3, 5, 7]), torch.Size([2, 9, 7]))
    """
    if not isinstance(features, Tensor):  # pyright: ignore[reportUnnecessaryIsInstance] # callers may err
        raise TypeError(f"`features` must be a torch tensor, got {type(features).__name__}")
    if features.ndim < 2:
        raise ValueError(f"`features` must be (B, D), (B, T, D) or (B, D, H, W), got {tuple(features.shape)}")
    return features.movedim(1, -1) if features.ndim >= _MAP else features


class FeatureRows(NamedTuple):
    """Features as rows, and the way back to their layout."""

    rows: Tensor
    """(M, D)."""
    kept: Tensor | None
    """Which of all rows the M are, where a mask left some out."""
    shape: tuple[int, ...]
    """(B,), (B, T) or (B, H, W)."""
    channels_first: bool

    @classmethod
    def of(cls, features: Tensor, mask: Tensor | None = None) -> Self:
        """The rows of features (B, D), (B, T, D) or (B, D, H, W) where ``mask`` (B, T), if it fits, is not 0."""
        last = channels_last(features)
        shape, rows = tuple(last.shape[:-1]), last.reshape(-1, last.shape[-1])
        if mask is None or tuple(mask.shape) != shape:
            return cls(rows, None, shape, features.ndim >= _MAP)
        kept = mask.reshape(-1).nonzero()[:, 0].to(rows.device)
        return cls(rows[kept], kept, shape, False)

    def spread(self, values: Tensor) -> Tensor:
        """Values (M, K) of the rows in the features' layout, 0 where the mask left rows out."""
        if self.kept is not None:
            total = 1
            for size in self.shape:
                total *= size
            values = values.new_zeros(total, values.shape[-1]).index_copy(0, self.kept, values)
        values = values.reshape(*self.shape, values.shape[-1])
        return values.movedim(-1, 1) if self.channels_first else values

    def same_rows_of(self, features: Tensor, name: str) -> Tensor:
        """The rows (M, D) of other features of the same samples, which must have the same layout."""
        last = channels_last(features)
        if tuple(last.shape) != (*self.shape, self.rows.shape[1]):
            wanted = (*self.shape, self.rows.shape[1])
            wanted = (wanted[0], wanted[-1], *wanted[1:-1]) if self.channels_first else wanted
            raise ValueError(
                f"`{name}` must have (or give) features of the shape of the model's own, {wanted}, "
                f"got {tuple(features.shape)}"
            )
        rows = last.reshape(-1, last.shape[-1])
        return rows if self.kept is None else rows[self.kept]

    def labelled(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (R, K) and targets (R,) or (R, K) that belong together, of logits (M, K) and targets in any layout.

        Where class ids (B, H', W') are of another size than the map, its logits are resized bilinearly to theirs.
        """
        if targets.is_floating_point():
            return logits, self._probabilities(targets, logits.shape[-1])
        if self.channels_first and targets.ndim == len(self.shape) == 3 and tuple(targets.shape) != self.shape:
            resized = functional.interpolate(self.spread(logits), size=targets.shape[1:], mode="bilinear")
            if resized.shape[0] == targets.shape[0]:
                return resized.movedim(1, -1).reshape(-1, logits.shape[-1]), targets.reshape(-1)
        if tuple(targets.shape) != self.shape:
            raise ValueError(
                f"`targets` must be class ids of shape {self.shape}, as the features have it, "
                f"got shape {tuple(targets.shape)}"
            )
        flat = targets.reshape(-1)
        return logits, flat if self.kept is None else flat[self.kept]

    def _probabilities(self, targets: Tensor, num_classes: int) -> Tensor:
        last = channels_last(targets) if self.channels_first else targets
        if tuple(last.shape) != (*self.shape, num_classes):
            raise ValueError(
                f"`targets` of floating type are class probabilities in the logits' shape, got {tuple(targets.shape)}; "
                "class ids are integers: targets.long()"
            )
        flat = last.reshape(-1, num_classes)
        return flat if self.kept is None else flat[self.kept]


class RowSampler(nn.Module):
    """At most ``max_rows`` of N rows for the statistics, without replacement, in ascending order.

    The draw is a function of ``seed`` and of the number of draws in training mode before it, made on the CPU: the same
    on every device. That number is in the state dictionary, so a run that is resumed draws what it would have drawn.
    In evaluation mode it stands still: the same rows each time.

    Args:
        max_rows: at least 1.
        seed: of the draws.

    >>> import torch
    >>> from noisymodel.models import RowSampler
    >>> sampler = RowSampler(3, seed=0)
    >>> len(sampler(100)), sampler(2)
    (3, None)
    """

    def __init__(self, max_rows: int, *, seed: int = 0) -> None:
        super().__init__()
        self.max_rows = check_integer(max_rows, "max_rows", minimum=1)
        self.seed = check_seed(seed)
        self.draws = 0

    def forward(self, count: int, device: torch.device | str = "cpu") -> Tensor | None:
        """Indices (max_rows,) into ``count`` rows, or None where there are no more than ``max_rows``."""
        order = _draw(self, count)
        return None if order is None else order.to(device)

    def get_extra_state(self) -> Tensor:
        """How many draws there were, for the state dictionary."""
        return torch.tensor(self.draws, dtype=torch.int64, device="cpu")

    def set_extra_state(self, state: Tensor) -> None:
        """Go on from there."""
        self.draws = int(state)

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        return f"max_rows={self.max_rows}, seed={self.seed}"


def _next(sampler: RowSampler, count: int) -> Tensor | None:
    draws = sampler.draws
    if sampler.training:
        sampler.draws += 1
    if count <= sampler.max_rows:
        return None
    order = torch.randperm(count, generator=tensor_generator(sampler.seed, draws), dtype=torch.int64, device="cpu")
    return order[: sampler.max_rows].sort().values


def _draw(sampler: RowSampler, count: int) -> Tensor | None:
    """`_next`, outside of compiled graphs; the compiler is imported where it is at work, and not for everybody.

    After a break of the graph it is at work, too, and says nothing of it.
    """
    if not torch.compiler.is_compiling() and "torch._dynamo" not in sys.modules:
        return _next(sampler, count)
    return cast("Any", torch.compiler.disable)(_next)(sampler, count)
