"""States of accumulators: as files, without pickle, and one after the other between the ranks of a process group."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, distributed

from ..files import encode_tensors, read_tensors, write_file

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup


def write_state(path: Path, kind: str, settings: Mapping[str, Any], state: Mapping[str, Tensor]) -> None:
    """Write settings and state into one safetensors file."""
    write_file(path, encode_tensors(state, {"kind": kind, "settings": dict(settings)}))


def read_state(path: str | Path, kind: str, writer: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The settings and the state that `write_state` wrote; the error for other files names ``writer``."""
    state, record = read_tensors(Path(path))
    if not isinstance(record, dict) or cast("dict[str, Any]", record).get("kind") != kind:
        raise ValueError(f"{path} was not written by {writer}")
    return cast("dict[str, Any]", record["settings"]), state


def check_entries(state: Mapping[str, Tensor], names: set[str]) -> None:
    """All of these must be there."""
    missing = names - set(state)
    if missing:
        raise ValueError(f"`state` must have the entries of state_dict(), got none of {sorted(missing)}")


def has_ranks() -> bool:
    """Whether a process group has been initialised."""
    return distributed.is_available() and distributed.is_initialized()


def each_rank(own: Tensor, group: ProcessGroup | None) -> Iterator[Tensor]:
    """The vectors of all ranks (of one length), in their order, one at a time: memory for one whatever their number.

    Without an initialised process group the own vector alone.
    """
    if not has_ranks():
        yield own
        return
    if distributed.get_backend(group) == "nccl":  # which takes nothing else, also from ranks without rows
        own = own.to(torch.device("cuda", torch.cuda.current_device()))
    here = distributed.get_rank(group)
    for rank in range(distributed.get_world_size(group)):
        part = own if rank == here else torch.empty_like(own)
        source = rank if group is None else distributed.get_global_rank(group, rank)
        distributed.broadcast(part, source, group=group)
        yield part
