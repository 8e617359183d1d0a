"""The global batch: what travels between the ranks of a process group, and what travels back as a gradient.

Every rank computes the same global loss. DDP and FSDP average the ranks' gradients, so the gradient of a rank's own
rows is multiplied by the world size: the average is then the gradient of one process that holds all rows. The obvious
collectives lack that factor, and give gradients of 1/W of the truth under a loss curve that looks right.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from torch import Tensor

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup


def resolve_group(gather: object) -> ProcessGroup | None:
    """The process group that ``gather`` means: ``None`` for ``False`` and where no process group is initialised."""
    if gather is False:
        return None
    available = dist.is_available()
    if gather is True:
        return dist.group.WORLD if available and dist.is_initialized() else None
    if available and isinstance(gather, dist.ProcessGroup):
        return gather
    raise TypeError(f"`gather` must be False, True or a torch.distributed process group, got {gather!r}")


def world_size(group: ProcessGroup | None) -> int:
    """The number of ranks that share a batch."""
    return 1 if group is None else dist.get_world_size(group)


def batch_sizes(rows: Tensor, group: ProcessGroup | None) -> list[int]:
    """The ranks' numbers of rows; with a group this exchange is the one thing that waits for the device."""
    if group is None:
        return [rows.shape[0]]
    own = torch.tensor([rows.shape[0]], dtype=torch.int64, device=rows.device)
    sizes = [torch.empty_like(own) for _ in range(world_size(group))]
    dist.all_gather(sizes, own, group=group)
    return torch.cat(sizes).tolist()


def own_slice(sizes: Sequence[int], group: ProcessGroup | None) -> slice:
    """Where this rank's rows lie among all rows."""
    rank = 0 if group is None else dist.get_rank(group)
    start = sum(sizes[:rank])
    return slice(start, start + sizes[rank])


def gather_rows(rows: Tensor, sizes: Sequence[int], group: ProcessGroup | None) -> Tensor:
    """(n_r, D) on each rank to (Σ n_r, D) on all; ranks with fewer rows (or none) are padded on the way."""
    if group is None:
        return rows
    padded = rows.new_zeros((max(sizes), rows.shape[1]))
    padded[: rows.shape[0]] = rows
    parts = [torch.empty_like(padded) for _ in sizes]
    dist.all_gather(parts, padded, group=group)
    return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])


def sum_over_ranks(value: Tensor, group: ProcessGroup | None) -> Tensor:
    """Σ over the ranks; without a group the value itself."""
    if group is None:
        return value
    total = value.contiguous().clone()
    dist.all_reduce(total, group=group)
    return total


def global_mean(values: Tensor, group: ProcessGroup | None, counts: Tensor | None = None) -> Tensor:
    """Σ values / Σ counts over the rows of all ranks, one value per row; uneven and empty ranks included.

    ``counts`` says which rows count, those whose value is not 0 by definition; ``None``: all. Where no row counts the
    mean is 0. The gradient is right after the averaging of DDP.
    """
    if group is None:
        return values.mean() if counts is None else values.sum() / counts.sum().clamp_min(1)
    own_total = values.sum()
    own_count = values.new_full((), len(values)) if counts is None else counts.sum()
    total, count = sum_over_ranks(torch.stack([own_total.detach().double(), own_count.double()]), group)
    own = own_total * (world_size(group) / count.clamp_min(1)).to(values.dtype)
    return own + ((total / count.clamp_min(1)).to(values.dtype) - own).detach()
