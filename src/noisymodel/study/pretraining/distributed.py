"""Pre-training over the ranks of a process group: each has a part of every batch, and all take the same step.

A rank's loss is its own rows' share of the mean over the whole batch, so losses and gradients are *summed* over the
ranks, in one exchange per step. Batch statistics and the negatives of a contrastive loss need the whole batch; they are
exchanged by operations whose gradients are sums over the ranks too. DistributedDataParallel is not used: its reducer
averages, and with gloo it can hang at the exit of the interpreter.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..._gather import gather_rows, own_slice, sum_over_ranks, world_size

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup


def shares(rows: int, group: ProcessGroup | None) -> list[int]:
    """The number of a batch's rows for each rank; they differ by at most one, and the first ranks have more."""
    ranks = world_size(group)
    return [rows // ranks + (rank < rows % ranks) for rank in range(ranks)]


def own_part(rows: int, group: ProcessGroup | None) -> slice:
    """The slice of a batch's rows that belongs to this rank."""
    return own_slice(shares(rows, group), group)


class _RowsOfRanks(torch.autograd.Function):
    """The rows of all ranks; a row's gradient is the sum of its gradients on all ranks."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, sizes: Sequence[int], group: ProcessGroup) -> Tensor:
        ctx.sizes, ctx.group = sizes, group
        return gather_rows(rows.contiguous(), sizes, group)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return sum_over_ranks(gradients[0], ctx.group)[own_slice(ctx.sizes, ctx.group)], None, None


def all_rows(rows: Tensor, batch: int, group: ProcessGroup | None) -> Tensor:
    """The rows ``(batch, D)`` of a whole batch from this rank's part; differentiable."""
    if group is None:
        return rows
    gathered: Any = _RowsOfRanks.apply(rows, shares(batch, group), group)
    return gathered


class _GlobalBatchNorm(TorchFunctionMode):
    """Batch statistics of all ranks in whatever module calls ``torch.nn.functional.batch_norm``, on every device.

    (``torch.nn.SyncBatchNorm`` does not run on the CPU, and does not know the subclasses of BatchNorm in model
    libraries.)
    """

    def __init__(self, group: ProcessGroup) -> None:
        super().__init__()
        self.group = group

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        keywords = kwargs or {}
        if func is nn.functional.batch_norm:
            names = ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps")
            settings = {"weight": None, "bias": None, "training": False, "momentum": 0.1, "eps": 1e-5}
            settings |= dict(zip(names, args, strict=False)) | keywords
            if settings["training"]:
                return _normalised(settings, self.group)
        return func(*args, **keywords)


def _normalised(settings: dict[str, Any], group: ProcessGroup) -> Tensor:
    from torch.distributed.nn.functional import all_reduce  # not in every build of torch; its gradient is a sum, too

    maps = cast(Tensor, settings["input"])
    others = [axis for axis in range(maps.ndim) if axis != 1]
    shape = [-1 if axis == 1 else 1 for axis in range(maps.ndim)]
    count = sum_over_ranks(torch.tensor(maps.numel() / max(maps.shape[1], 1), device=maps.device), group)
    mean = all_reduce(maps.sum(others), group=group) / count
    centred = maps - mean.view(shape)
    variance = all_reduce(centred.square().sum(others), group=group) / count
    for name, value in (("running_mean", mean), ("running_var", variance * count / (count - 1))):
        if settings[name] is not None:
            with torch.no_grad():
                settings[name].lerp_(value, settings["momentum"])
    scale = torch.rsqrt(variance + settings["eps"])
    scale = scale if settings["weight"] is None else scale * settings["weight"]
    normalised = centred * scale.view(shape)
    return normalised if settings["bias"] is None else normalised + settings["bias"].view(shape)


def global_statistics(group: ProcessGroup | None) -> AbstractContextManager[object]:
    """Make BatchNorm in training mode normalise by the statistics of all ranks' rows during the block."""
    return nullcontext() if group is None else _GlobalBatchNorm(group)


def sum_gradients(parameters: Sequence[nn.Parameter], loss: Tensor, group: ProcessGroup | None) -> float:
    """Replace every gradient by its sum over the ranks; returns the sum of the losses. One exchange."""
    if group is None:
        return loss.item()
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = torch.cat([loss.detach().reshape(1), *(gradient.flatten() for gradient in gradients)])
    summed = sum_over_ranks(flat, group)
    sizes = [1, *(gradient.numel() for gradient in gradients)]
    total, *parts = summed.split(sizes)
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))
    return total.item()
