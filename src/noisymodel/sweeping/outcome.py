"""The outcome of a sweep: the table of all heads, and the weights of the best one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from ..training.checkpoint import RunFile, part_of
from .grid import Configuration, Trial

CORRECT = "correct"  # the key of the validation rows that a head got right, packed bits in hexadecimal

Record = dict[str, Any]  # the measurements of a head
Row = dict[str, Any]  # a record with the configuration and seed of its head
State = Mapping[str, Tensor]


class Outcome:
    """The rows in the order of training, and the weights of those heads that may still be the best."""

    def __init__(self, num_seeds: int) -> None:
        self.num_seeds = num_seeds
        self.rows: list[Row] = []
        self.candidates: dict[int, tuple[int, State]] = {}  # configuration -> seed and weights of its best head so far

    def add(self, trials: Sequence[Trial], records: Sequence[Record], states: Sequence[State]) -> None:
        """Add heads that were trained together; drop a state as soon as its configuration cannot be the best."""
        for trial, record, state in zip(trials, records, states, strict=True):
            self.rows.append({"configuration": trial.configuration.index, "seed": trial.seed, **record})
            self._consider(self.rows[-1], state)
        finished = [index for index in self.candidates if len(self.of(index)) == self.num_seeds]
        best = min(finished, key=self.rank, default=None)
        for index in finished:
            if index != best or math.isinf(self.rank(index)[0]):
                del self.candidates[index]

    def of(self, configuration: int) -> list[Row]:
        """The rows of a configuration so far."""
        return [row for row in self.rows if row["configuration"] == configuration]

    def rank(self, configuration: int) -> tuple[float, float, int]:
        """A sort key, lowest for the best: the mean accuracy, then the mean loss, then the place in the grid.

        NaN is worst.
        """
        rows = self.of(configuration)
        scores = [_score(row) for row in rows]
        return (
            math.fsum(score[0] for score in scores) / len(rows),
            math.fsum(score[1] for score in scores) / len(rows),
            configuration,
        )

    def best(self) -> tuple[int, State]:
        """The best configuration and the weights of its best head, once all are trained."""
        if not self.candidates:
            raise ValueError(
                "every configuration has a training loss that is not finite: look for NaN or infinity in `features`, "
                "or lower the learning rates or the weights of the regularizers"
            )
        ((configuration, (_, state)),) = self.candidates.items()
        return configuration, state

    def table(self, configurations: Sequence[Configuration]) -> list[Row]:
        """The rows with the keys of their configurations, in the order of the grid, then of the seeds."""
        rows = sorted(self.rows, key=lambda row: row["configuration"])
        places = ("configuration", "seed")
        shown = [{key: value for key, value in row.items() if key != CORRECT} for row in rows]
        return [{key: row[key] for key in places} | configurations[row["configuration"]].given | row for row in shown]

    def correct(self, count: int) -> npt.NDArray[np.bool_]:
        """(rows of the table, count): which of the validation rows each head got right."""
        rows = sorted(self.rows, key=lambda row: row["configuration"])
        bits = [np.frombuffer(bytes.fromhex(row[CORRECT]), dtype=np.uint8) for row in rows]
        return np.unpackbits(np.stack(bits), axis=1, count=count).astype(np.bool_)

    def save(self, file: RunFile) -> None:
        """Replace the file, in one step, by the present outcome."""
        states: dict[str, Tensor] = {}
        for index, (_, state) in self.candidates.items():
            states.update({f"{index}.{name}": value for name, value in state.items()})
        file.write(states, {"rows": self.rows, "seeds": {index: seed for index, (seed, _) in self.candidates.items()}})

    def restore(self, file: RunFile) -> None:
        """Load the saved outcome, if the file exists."""
        found = file.read()
        if found is not None:
            tensors, record = found
            self.rows = record["rows"]
            for index, seed in record["seeds"].items():
                self.candidates[int(index)] = seed, part_of(f"{index}.", tensors)

    def _consider(self, row: Row, state: State) -> None:
        index = row["configuration"]
        earlier = [_score(other) for other in self.of(index)[:-1]]
        if not earlier or _score(row) < min(earlier):
            self.candidates[index] = row["seed"], {name: value.cpu() for name, value in state.items()}


def _score(row: Row) -> tuple[float, float]:
    """(−accuracy, loss), infinite where the training failed."""
    if math.isnan(row["validation_accuracy"]):
        return math.inf, math.inf
    return -row["validation_accuracy"], row["validation_loss"]
