"""Dense features: the dimension of the features, the rows of a map or sequence, and the rows for the statistics."""

from __future__ import annotations

import math
import sys
from typing import Any, NamedTuple, Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from .._checks import check_integer, check_seed
from .._random import tensor_generator

_MAP = 4  # from this many dimensions on, the features are in the second dimension


def channels_last(features: Tensor) -> Tensor:
    """A view with the features in the last dimension.

    (B, D) and (B, T, D) do not change: their rows are samples, tokens or queries. Channels-first maps (B, D, H, W), and
    (B, D, ...) of more dimensions, become (B, H, W, D): their rows are pixels.

    Args:
        features: of two dimensions or more. Permute channels-last maps (B, H, W, D), such as those of Swin's blocks,
            and (B, D, T) of one-dimensional convolutions first.

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
    """Features as rows, with the information to restore their layout."""

    rows: Tensor
    """(M, D)."""
    kept: Tensor | None
    """The indices of the M rows among all rows, if a mask left some out."""
    shape: tuple[int, ...]
    """(B,), (B, T) or (B, H, W)."""
    channels_first: bool

    @classmethod
    def of(cls, features: Tensor, mask: Tensor | None = None) -> Self:
        """The rows of features (B, D), (B, T, D) or (B, D, H, W); a fitting ``mask`` (B, T) leaves out rows with 0."""
        last = channels_last(features)
        shape, rows = tuple(last.shape[:-1]), last.reshape(-1, last.shape[-1])
        if mask is None or tuple(mask.shape) != shape:
            return cls(rows, None, shape, features.ndim >= _MAP)
        kept = mask.reshape(-1).nonzero()[:, 0].to(rows.device)
        return cls(rows[kept], kept, shape, False)

    def spread(self, values: Tensor) -> Tensor:
        """Put the values (M, K) of the rows into the layout of the features, with 0 for masked rows."""
        if self.kept is not None:
            values = values.new_zeros(math.prod(self.shape), values.shape[-1]).index_copy(0, self.kept, values)
        values = values.reshape(*self.shape, values.shape[-1])
        return values.movedim(-1, 1) if self.channels_first else values

    def same_rows_of(self, features: Tensor, name: str) -> Tensor:
        """The same rows (M, D) of other features, which must have the same layout."""
        last = channels_last(features)
        if tuple(last.shape) != (*self.shape, self.rows.shape[1]):
            wanted = (*self.shape, self.rows.shape[1])
            wanted = (wanted[0], wanted[-1], *wanted[1:-1]) if self.channels_first else wanted
            raise ValueError(
                f"`{name}` must have (or give) features of the shape of the model's own, {wanted}, "
                f"got {tuple(features.shape)}"
            )
        return self._kept(last.reshape(-1, last.shape[-1]))

    def _kept(self, rows: Tensor) -> Tensor:
        return rows if self.kept is None else rows[self.kept]

    def labelled(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Match logits (M, K) with targets in any layout; return logits (R, K) and targets (R,) or (R, K).

        If class ids (B, H', W') have another size than the map, the logits are resized bilinearly to that size.
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
        return logits, self._kept(targets.reshape(-1))

    def _probabilities(self, targets: Tensor, num_classes: int) -> Tensor:
        last = channels_last(targets) if self.channels_first else targets
        if tuple(last.shape) != (*self.shape, num_classes):
            raise ValueError(
                f"`targets` of floating type are class probabilities in the logits' shape, got {tuple(targets.shape)}; "
                "class ids are integers: targets.long()"
            )
        return self._kept(last.reshape(-1, num_classes))


class RowSampler(nn.Module):
    """Draws at most ``max_rows`` of N rows for the statistics, without replacement, in ascending order.

    A draw depends on ``seed`` and on the number of earlier draws in training mode. It is made on the CPU, so it is the
    same on every device. The number of draws is in the state dictionary, so a resumed run continues the same sequence.
    Evaluation mode does not count draws, so it draws the same rows each time.

    Args:
        max_rows: at least 1.
        seed: the seed of the draws.

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
        """Indices (max_rows,) into ``count`` rows, or None if there are at most ``max_rows`` rows."""
        order = _draw(self, count)
        return None if order is None else order.to(device)

    def get_extra_state(self) -> Tensor:
        """The number of draws so far, for the state dictionary."""
        return torch.tensor(self.draws, dtype=torch.int64, device="cpu")

    def set_extra_state(self, state: Tensor) -> None:
        """Restore the number of draws."""
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
    """Call `_next` outside of compiled graphs; the compiler is imported only if it is already in use.

    After a graph break the compiler is in use too, but does not report it.
    """
    if not torch.compiler.is_compiling() and "torch._dynamo" not in sys.modules:
        return _next(sampler, count)
    return cast("Any", torch.compiler.disable)(_next)(sampler, count)
