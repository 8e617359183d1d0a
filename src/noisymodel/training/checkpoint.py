"""The state of a training run after an epoch, in one file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..files import encode_tensors, read_tensors, write_file


class Progress(NamedTuple):
    """What a run has done: one dictionary per finished epoch, and the seed that its randomness comes from."""

    history: list[dict[str, float]]
    seed: int
    best: dict[str, Tensor] | None = None  # the head's state after its best epoch, where that is wanted

    def best_epoch(self) -> int:
        """The first epoch (from zero) of the highest validation accuracy, and among those of the lowest loss."""
        scores = [(-record["validation_accuracy"], record["validation_loss"]) for record in self.history]
        return scores.index(min(scores))


class Checkpoint:
    """A file that holds the run with the arguments of ``fingerprint``, or does not exist yet."""

    def __init__(self, path: str | Path, fingerprint: dict[str, Any]) -> None:
        self.path = Path(path).absolute()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.fingerprint = json.loads(json.dumps(fingerprint))

    def save(self, head: nn.Module, optimizer: torch.optim.Optimizer, progress: Progress) -> None:
        """Replace the file, in one step, by the state after the last epoch of ``progress``."""
        tensors = {f"head.{name}": tensor for name, tensor in head.state_dict().items()}
        for index, state in optimizer.state_dict()["state"].items():
            tensors.update({f"optimizer.{index}.{name}": tensor for name, tensor in state.items()})
        tensors.update({f"best.{name}": tensor for name, tensor in (progress.best or {}).items()})
        record = {"fingerprint": self.fingerprint, "history": progress.history, "seed": progress.seed}
        write_file(self.path, encode_tensors(tensors, record))

    def restore(self, head: nn.Module, optimizer: torch.optim.Optimizer) -> Progress | None:
        """Bring head and optimizer to the file's state; ``None`` where there is no file yet."""
        if not self.path.exists():
            return None
        tensors, record = read_tensors(self.path)
        if not isinstance(record, dict) or "fingerprint" not in record:
            raise ValueError(f"`checkpoint` {self.path} was not written by fit: name another file, or delete it")
        check_fingerprint(self.path, record["fingerprint"], self.fingerprint)
        head.load_state_dict(_part("head.", tensors))
        optimizer.load_state_dict({**optimizer.state_dict(), "state": _optimizer_state(tensors)})
        return Progress(record["history"], record["seed"], _part("best.", tensors) or None)


def check_fingerprint(path: Path, saved: dict[str, Any], now: dict[str, Any]) -> None:
    """That the arguments of the run that wrote a file are those of now."""
    changed = sorted(key for key in now.keys() | saved.keys() if now.get(key) != saved.get(key))
    if changed:
        listed = ", ".join(f"{key}: {saved.get(key)!r} then, {now.get(key)!r} now" for key in changed)
        raise ValueError(
            f"`checkpoint` {path} belongs to a run with other arguments ({listed}): "
            "use those, or name another file, or delete it"
        )


def _part(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _optimizer_state(tensors: dict[str, Tensor]) -> dict[int, dict[str, Tensor]]:
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".", 2)
            state.setdefault(int(index), {})[key] = tensor
    return state
