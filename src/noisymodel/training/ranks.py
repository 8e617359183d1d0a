"""`fit` on several ranks: each rank reads its part of every batch, and all get the same head as one process."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from .._gather import sum_over_ranks, world_size

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup


def part_of(count: int, group: ProcessGroup | None) -> slice:
    """The part of a batch of ``count`` rows that this rank reads: all without a group, else a share, maybe empty."""
    if group is None:
        return slice(None)
    rank, world = dist.get_rank(group), world_size(group)
    return slice(count * rank // world, count * (rank + 1) // world)


def share_first(tensors: Iterable[Tensor], group: ProcessGroup | None) -> None:
    """Copy the values of the first rank to all ranks."""
    for tensor in tensors if group is not None else ():
        dist.broadcast(tensor.detach(), dist.get_global_rank(group, 0), group=group)  # pyright: ignore[reportArgumentType] # None has left the loop


def average_gradients(parameters: Iterable[nn.Parameter], group: ProcessGroup | None) -> None:
    """Average the gradients over the ranks, as DDP does after a backward pass."""
    for parameter in parameters if group is not None else ():
        if parameter.grad is not None:
            parameter.grad = sum_over_ranks(parameter.grad, group) / world_size(group)


@contextmanager
def global_batch_norm(module: nn.Module, group: ProcessGroup | None) -> Generator[None]:
    """Make the module's `torch.nn.BatchNorm1d` use the statistics of all ranks' rows, also on the CPU."""
    own: list[tuple[nn.Module, str, nn.BatchNorm1d]] = []
    for parent in list(module.modules()) if group is not None else []:
        for name, child in list(parent.named_children()):
            if type(child) is nn.BatchNorm1d and child.affine and child.track_running_stats and child.momentum:
                own.append((parent, name, child))
                setattr(parent, name, _GlobalBatchNorm(child, group))
    try:
        yield
    finally:
        for parent, name, child in own:
            setattr(parent, name, child)


class _GlobalBatchNorm(nn.Module):
    """A batch norm in training mode with the statistics of the rows (n, C) of all ranks; n may be 0."""

    def __init__(self, local: nn.BatchNorm1d, group: Any) -> None:
        super().__init__()
        self.local, self.group = local, group

    def forward(self, rows: Tensor) -> Tensor:
        """Normalise rows (n, C)."""
        local: Any = self.local
        sums = _Sum.apply(torch.cat([rows.sum(0), rows.new_full((1,), len(rows))]), self.group)
        mean, count = sums[:-1] / sums[-1], sums[-1].detach()
        centred = rows - mean
        variance = _Sum.apply(centred.square().sum(0), self.group) / count
        with torch.no_grad():
            local.num_batches_tracked += 1
            local.running_mean.lerp_(mean, local.momentum)
            local.running_var.lerp_(variance * (count / (count - 1)), local.momentum)
        return torch.addcmul(local.bias, centred, local.weight * (variance + local.eps).rsqrt())


class _Sum(torch.autograd.Function):
    """Σ over the ranks, whose gradient is the sum of the ranks' gradients."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, group: Any) -> Tensor:
        ctx.group = group
        return sum_over_ranks(value, group)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return sum_over_ranks(gradients[0], ctx.group), None
