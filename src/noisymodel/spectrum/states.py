"""States of accumulators: as files, without pickle, and one after the other between the ranks of a process group."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

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


class Accumulator(ABC):
    """What accumulators do with their state, whatever it is: write it into a file, send it to other ranks."""

    _kind: ClassVar[str]

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """The arguments of an empty accumulator of this kind."""

    @abstractmethod
    def state_dict(self) -> dict[str, Tensor]:
        """The state as tensors."""

    @abstractmethod
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore a state of `state_dict`; the settings must be the same."""

    @abstractmethod
    def merge(self, other: Any) -> Self:
        """Take in what another accumulator took in; returns ``self``."""

    @abstractmethod
    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """The largest shapes of the tensors of a state, in the order of `packed`."""

    def packed(self) -> Tensor:
        """The state as one float64 vector, of one length for all accumulators of these settings."""
        state = self.state_dict()
        device = next(tensor.device for tensor in state.values() if tensor.ndim)
        parts: list[Tensor] = []
        for name, shape in self._shapes().items():
            flat = state[name].to(device, torch.float64).flatten()
            parts.append(torch.nn.functional.pad(flat, (0, math.prod(shape) - len(flat))))
        return torch.cat(parts)

    @classmethod
    def unpacked(cls, settings: Mapping[str, Any], vector: Tensor) -> Self:
        """The accumulator of these settings that `packed` made a vector of."""
        found = cls(**settings)
        shapes = found._shapes()
        parts = vector.split([math.prod(shape) for shape in shapes.values()])
        found.load_state_dict({name: part.view(shapes[name]) for name, part in zip(shapes, parts, strict=True)})
        return found

    def reduce(self, group: ProcessGroup | None = None) -> Self:
        """A new accumulator with the rows of all ranks of a process group, the same to the bit on every rank.

        Each rank in turn sends its state, of O(D²) numbers, and all ranks merge them in order, so memory does not
        grow with their number. Ranks may hold different numbers of rows, or none. Without an initialised process
        group it is a copy.
        """
        total = type(self)(**self.settings())
        if not has_ranks():
            return total.merge(self)
        for vector in each_rank(self.packed(), group):
            total.merge(self.unpacked(self.settings(), vector))
        return total

    def save(self, path: str | Path) -> None:
        """Write settings and state into one safetensors file, under a temporary name that is then renamed."""
        write_state(Path(path), self._kind, self.settings(), self.state_dict())

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read an accumulator of `save`.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: for a damaged or foreign file.
        """
        settings, state = read_state(path, cls._kind, f"{cls.__name__}.save")
        loaded = cls(**settings)
        loaded.load_state_dict(state)
        return loaded
