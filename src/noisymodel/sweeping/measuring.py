"""The task of a sweep, and the measurements of heads that were trained on it together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..heads import Head
from ..training.batches import LabelledRows, count_batches
from ..training.run import Bar, evaluate_each, smallest_batch, train_terms
from .outcome import CORRECT, Record, State
from .together import Order, Together
from .trials import Trial


class Task(NamedTuple):
    """The data, epochs and batch size that all heads of a sweep share."""

    rows: LabelledRows
    held_out: LabelledRows
    epochs: int
    batch_size: int

    def steps(self, head: Head) -> int:
        """How many batches a head like this one sees in all epochs."""
        smallest = smallest_batch(head, len(self.rows), self.batch_size)
        return self.epochs * count_batches(len(self.rows), self.batch_size, smallest)


def train_together(trials: Sequence[Trial], task: Task, bar: Bar) -> tuple[list[Record], list[State]]:
    """Train the heads of some trials; return their measurements after the last epoch, and their state dictionaries."""
    together = Together(
        [trial.configuration.start(trial.seed).to(task.rows.device) for trial in trials],
        [Order(trial.seed) for trial in trials],
        [trial.configuration.rates for trial in trials],
        task.rows,
        epochs=task.epochs,
        batch_size=task.batch_size,
    )
    *_, means = together.train(bar)
    states: list[State] = [together.model.state(index) for index in range(len(trials))]
    heads = [trial.configuration.filled(state) for trial, state in zip(trials, states, strict=True)]
    validated = evaluate_each(heads, task.held_out)
    records = [train_terms(row) | found for row, found in zip(means.tolist(), validated, strict=True)]
    for record in records:
        if math.isnan(record["train_total"]) or not math.isfinite(record["validation_loss"]):
            record.update(dict.fromkeys(record, math.nan))
    found = [{**record, CORRECT: right} for record, right in zip(records, _right(heads, task.held_out), strict=True)]
    return found, states


def _right(heads: Sequence[Head], rows: LabelledRows) -> list[str]:
    """The rows that each head (in evaluation mode) gets right, as packed bits in hexadecimal for JSON."""
    parts: list[Tensor] = []
    with torch.no_grad():
        for features, targets, _ in rows.in_order():
            classes = targets.argmax(1) if targets.is_floating_point() else targets
            parts.append(torch.stack([head(features).argmax(1) == classes for head in heads]))
    return [np.packbits(row).tobytes().hex() for row in torch.cat(parts, 1).cpu().numpy()]
