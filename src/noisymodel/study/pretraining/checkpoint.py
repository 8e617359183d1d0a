"""The checkpoint of one pre-training: complete or absent, and sufficient to continue to the bit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ...errors import StudyError
from ...files import encode_tensors, read_tensors, write_file
from ...training.checkpoint import part_of
from ..data import Inputs
from .request import PretrainingRequest
from .schedule import Schedule

_VERSION = 1


class Position(NamedTuple):
    """The position of a training: the finished steps, and the generator of the order at the start of the epoch."""

    step: int
    order: Tensor


class Checkpoint:
    """The checkpoint file, maybe not yet written, of the training that ``described`` describes.

    It holds the network, the optimiser's state, the generator of the order at the start of the epoch, and the number of
    finished steps. The learning rate, the place in the epoch and the seeds of dropout and masks follow from the latter.
    """

    def __init__(self, path: Path, described: Mapping[str, Any]) -> None:
        self.path = path
        self.described = json.loads(json.dumps(described))
        self.path.parent.mkdir(parents=True, exist_ok=True)

    def save(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, schedule: Schedule, position: Position
    ) -> None:
        """Replace the file in one step."""
        tensors = {f"network/{name}": value for name, value in network.state_dict().items()}
        for index, state in optimizer.state_dict()["state"].items():
            tensors.update({f"optimizer/{index}/{name}": value for name, value in state.items()})
        tensors["random/order"] = position.order
        record = {
            "noisymodel pre-training": _VERSION,
            "run": self.described,
            "step": position.step,
            "epoch": position.step // schedule.per_epoch,
            "batch": position.step % schedule.per_epoch,
            "schedule": schedule._asdict(),
        }
        write_file(self.path, encode_tensors({name: value.clone() for name, value in tensors.items()}, record))

    def restore(self, network: nn.Module, optimizer: torch.optim.Optimizer) -> Position | None:
        """Load the state of network and optimiser; ``None`` if there is no readable file.

        Raises:
            StudyError: a file of another training.
        """
        if not self.path.exists():
            return None
        try:
            tensors, record = read_tensors(self.path)
        except (OSError, ValueError):
            return None
        if not isinstance(record, dict) or record.get("noisymodel pre-training") != _VERSION:
            raise StudyError(f"{self.path} is no checkpoint of this version's pre-training: name another folder")
        self._check(record["run"])
        network.load_state_dict(part_of("network/", tensors))
        state = _states(part_of("optimizer/", tensors), optimizer)
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
        return Position(record["step"], tensors["random/order"])

    def _check(self, saved: Mapping[str, Any]) -> None:
        changed = [key for key in self.described if saved.get(key) != self.described[key]]
        if changed:
            told = "; ".join(f"{key} {saved.get(key)!r} then, {self.described[key]!r} now" for key in changed)
            raise StudyError(
                f"the checkpoint {self.path} belongs to another pre-training ({told}): use another folder, or delete it"
            )


def _states(tensors: Mapping[str, Tensor], optimizer: torch.optim.Optimizer) -> dict[int, dict[str, Tensor]]:
    """The optimiser's state by parameter, in the memory format of the parameter: the fused step relies on it."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    states: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        index, _, key = name.partition("/")
        like = parameters[int(index)]
        laid_out = torch.empty_like(like).copy_(value) if value.shape == like.shape else value
        states.setdefault(int(index), {})[key] = laid_out
    return states


def described(request: PretrainingRequest, rate: float) -> dict[str, Any]:
    """Everything that determines a training, JSON-ready, for errors; of inputs in files only the shape."""
    names = ("objective", "architecture", "noise_kind", "seed", "classes", "vocabulary")
    examples = request.examples
    return {
        **{name: getattr(request, name) for name in names},
        "noise_rate": rate,
        **request.config.training(),
        "inputs": checksum(examples.inputs),
        "labels": checksum(examples.labels),
        "captions": "" if examples.captions is None else checksum(examples.captions),
    }


def checksum(inputs: Inputs) -> str:
    """The checksum of an array's shape and values; of inputs made on demand only of their shape."""
    digest = hashlib.sha256(str(tuple(inputs.shape)).encode())
    if isinstance(inputs, np.ndarray):
        digest.update(np.ascontiguousarray(inputs).data)
    return digest.hexdigest()[:16]
