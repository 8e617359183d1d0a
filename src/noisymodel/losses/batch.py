"""The batch that a regularizer is a statistic of: the rows of this process, or of all processes of a group."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from .._checks import check_rows
from .._gather import batch_sizes, resolve_group

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup


class Batch(NamedTuple):
    """This process's rows (n, D), and with a group how many rows each of its processes holds."""

    rows: Tensor
    sizes: list[int] | None
    group: ProcessGroup | None

    @property
    def num_rows(self) -> int:
        """N, the number of rows of all processes."""
        return self.rows.shape[0] if self.sizes is None else sum(self.sizes)


def global_batch(features: Tensor, name: str, gather: bool | ProcessGroup) -> Batch:
    """The batch of features (..., D); with a group the processes exchange their numbers of rows."""
    rows = flat_rows(features, name)
    group = resolve_group(gather)
    return Batch(rows, None if group is None else batch_sizes(rows, group), group)


def flat_rows(features: Tensor, name: str) -> Tensor:
    """(..., D) to (n, D), on a device that has float64."""
    rows = check_rows(features, name)
    rows = rows if rows.ndim == 2 else rows.reshape(-1, rows.shape[-1])
    return rows if has_float64(rows.device) else rows.cpu()


def has_float64(device: torch.device) -> bool:
    """Whether statistics can be made on this device."""
    return device.type != "mps"


def smallest_length(dtype: torch.dtype) -> float:
    """The least length that a gradient divides by, so that it fits the dtype: 4 / (the largest number)."""
    return 4 / torch.finfo(dtype).max


def as_term(value: Tensor, features: Tensor) -> Tensor:
    """A float64 statistic as a loss returns it: in the features' precision, float32 at least, on their device."""
    return value.to(torch.promote_types(features.dtype, torch.float32)).to(features.device)
