"""States of accumulators: as files, without pickle, and one after the other between the ranks of a process group."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, distributed

from .files import write_file

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup


def write_state(path: Path, kind: str, settings: Mapping[str, Any], state: Mapping[str, Tensor]) -> None:
    """One safetensors file of settings and state, under a temporary name that is then renamed."""
    tensors = {name: tensor.cpu().contiguous() for name, tensor in state.items()}
    metadata = {"noisymodel": kind, **{name: str(value) for name, value in settings.items()}}
    write_file(path, save(tensors, metadata=metadata))


def read_state(path: str | Path, kind: str, writer: str) -> tuple[dict[str, str], dict[str, Tensor]]:
    """The settings, as text, and the state that `write_state` wrote; ``writer`` is named where it did not."""
    try:
        with safe_open(path, framework="pt") as content:
            held = content.metadata() or {}
            state = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118 - no mapping
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged or no safetensors file ({error})") from None
    if held.get("noisymodel") != kind:
        raise ValueError(f"{path} was not written by {writer}")
    return held, state


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
