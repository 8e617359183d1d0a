"""The file that a sweep goes on from: what has been trained, and the heads that may still be the best."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import Tensor

from ..files import encode_tensors, read_tensors, write_file
from ..training.checkpoint import check_fingerprint
from .outcome import Candidate, Outcome


class SweepCheckpoint:
    """A file that holds the sweep with the arguments of ``fingerprint``, or does not exist yet."""

    def __init__(self, path: str | Path, fingerprint: dict[str, Any]) -> None:
        self.path = Path(path).absolute()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.fingerprint = json.loads(json.dumps(fingerprint))

    def save(self, outcome: Outcome) -> None:
        """Replace the file, in one step, by what is known."""
        tensors: dict[str, Tensor] = {}
        for index, candidate in outcome.candidates.items():
            tensors.update({f"{index}.{name}": value for name, value in candidate.state.items()})
        candidates = {index: candidate.seed for index, candidate in outcome.candidates.items()}
        record = {"sweep": self.fingerprint, "rows": outcome.rows, "candidates": candidates}
        write_file(self.path, encode_tensors(tensors, record))

    def restore(self, outcome: Outcome) -> None:
        """Fill an empty outcome from the file, if there is one."""
        if not self.path.exists():
            return
        tensors, record = read_tensors(self.path)
        if not isinstance(record, dict) or "sweep" not in record:
            raise ValueError(f"`checkpoint` {self.path} was not written by sweep: name another file, or delete it")
        check_fingerprint(self.path, record["sweep"], self.fingerprint)
        outcome.rows = record["rows"]
        for index, seed in record["candidates"].items():
            prefix = f"{index}."
            state = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
            outcome.candidates[int(index)] = Candidate(int(index), seed, state)
