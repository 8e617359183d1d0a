"""The checkpoint of a training run, in one file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..files import encode_tensors, read_tensors, write_file


class Progress(NamedTuple):
    """The progress of a run: one dictionary per finished epoch, and the seed of its random numbers."""

    history: list[dict[str, float]]
    seed: int
    best: dict[str, Tensor] | None = None  # the head's state after its best epoch, with `patience`

    def best_epoch(self) -> int:
        """The epoch (from zero) of the highest validation accuracy; ties go to the lowest loss, then to the first."""
        scores = [(-record["validation_accuracy"], record["validation_loss"]) for record in self.history]
        return scores.index(min(scores))


class RunFile:
    """The file, maybe not yet written, in which ``writer`` keeps a run with the arguments of ``fingerprint``."""

    def __init__(self, path: str | Path, fingerprint: dict[str, Any], writer: str) -> None:
        self.path = Path(path).absolute()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.fingerprint, self.writer = json.loads(json.dumps(fingerprint)), writer

    def write(self, tensors: dict[str, Tensor], record: dict[str, Any]) -> None:
        """Replace the file in one step."""
        write_file(self.path, encode_tensors(tensors, {self.writer: self.fingerprint, **record}))

    def read(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The tensors and the record in the file; ``None`` if there is no file yet."""
        if not self.path.exists():
            return None
        tensors, record = read_tensors(self.path)
        if not isinstance(record, dict) or self.writer not in record:
            raise ValueError(
                f"`checkpoint` {self.path} was not written by {self.writer}: name another file, or delete it"
            )
        saved, now = record[self.writer], self.fingerprint
        changed = sorted(key for key in now.keys() | saved.keys() if now.get(key) != saved.get(key))
        if changed:
            listed = ", ".join(f"{key}: {saved.get(key)!r} then, {now.get(key)!r} now" for key in changed)
            raise ValueError(
                f"`checkpoint` {self.path} belongs to a run with other arguments ({listed}): "
                "use those, or name another file, or delete it"
            )
        return tensors, record


class Checkpoint(RunFile):
    """The checkpoint file of `fit`."""

    def save(self, head: nn.Module, optimizer: torch.optim.Optimizer, progress: Progress) -> None:
        """Replace the file, in one step, by the state after the last epoch of ``progress``."""
        tensors = {f"head.{name}": tensor for name, tensor in head.state_dict().items()}
        for index, state in optimizer.state_dict()["state"].items():
            tensors.update({f"optimizer.{index}.{name}": tensor for name, tensor in state.items()})
        tensors.update({f"best.{name}": tensor for name, tensor in (progress.best or {}).items()})
        self.write(tensors, {"history": progress.history, "seed": progress.seed})

    def restore(self, head: nn.Module, optimizer: torch.optim.Optimizer) -> Progress | None:
        """Load the state of head and optimizer from the file; ``None`` if there is no file yet."""
        found = self.read()
        if found is None:
            return None
        tensors, record = found
        head.load_state_dict(part_of("head.", tensors))
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in part_of("optimizer.", tensors).items():
            index, key = name.split(".", 1)
            state.setdefault(int(index), {})[key] = tensor
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
        return Progress(record["history"], record["seed"], part_of("best.", tensors) or None)


def part_of(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with a prefix, named without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
