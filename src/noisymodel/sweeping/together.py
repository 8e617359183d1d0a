"""Training heads of one kind together, each as `noisymodel.fit` would train it alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import groupby
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from .._random import tensor_generator
from ..heads import Head
from ..losses import NMTuneTerms
from ..training.batches import LabelledRows
from ..training.feeding import Batch
from ..training.run import Bar, evaluate_each, smallest_batch
from ..training.schedule import Schedule
from .outcome import CORRECT, Record, State
from .stacked import StackedHeads
from .terms import StackedLoss
from .trials import Trial, kind_of


class Task(NamedTuple):
    """What all heads of a sweep are trained and judged on."""

    rows: LabelledRows
    held_out: LabelledRows
    epochs: int
    batch_size: int

    def steps(self, head: Head) -> int:
        """How many batches a head like this one sees in all epochs."""
        smallest = smallest_batch(head, len(self.rows), self.batch_size)
        return self.epochs * self.rows.count_batches(self.batch_size, smallest)


class Together:
    """Heads that are trained together on the same rows, in the order that each one's seed says."""

    def __init__(self, trials: Sequence[Trial], task: Task) -> None:
        self.rows, self.epochs, self.batch_size = task.rows, task.epochs, task.batch_size
        heads = [trial.configuration.start(trial.seed) for trial in trials]
        self.smallest = smallest_batch(heads[0], len(self.rows), self.batch_size)
        self.steps = self.rows.count_batches(self.batch_size, self.smallest)
        self.seeds = sorted({trial.seed for trial in trials})
        places = [self.seeds.index(trial.seed) for trial in trials]
        self.seed_of_head = torch.tensor(places, device=self.rows.device)
        self.model = StackedHeads(heads, self.rows.device)
        regularized = kind_of(heads[0]).regularized
        self.loss = StackedLoss(heads, regularized=regularized, device=self.rows.device, dtype=self.rows.dtype)
        self._dropouts = [module for module in heads[0].modules() if isinstance(module, nn.Dropout)]
        self._prepare_optimizer(trials)

    def _prepare_optimizer(self, trials: Sequence[Trial]) -> None:
        groups: list[dict[str, object]] = []
        self.schedules: list[Schedule] = []
        begin = 0
        for rates, members in groupby(trials, key=lambda trial: trial.configuration.rates):
            end = begin + len(list(members))
            groups.append({"params": self.model.slices(begin, end), "weight_decay": rates.weight_decay})
            warmup = round(rates.warmup * self.steps)
            self.schedules.append(Schedule(rates.learning_rate, self.epochs * self.steps, warmup))
            begin = end
        fused = self.rows.device.type in ("cpu", "cuda")
        self.optimizer = torch.optim.AdamW(groups, fused=fused)

    def epoch(self, epoch: int, bar: Bar) -> Tensor:
        """Train one epoch (they count from zero); the means (H, terms) over the rows of the terms."""
        sums = torch.zeros(self.model.count, len(NMTuneTerms._fields), dtype=torch.float64, device=self.rows.device)
        dropout = [_generator(seed, epoch) for seed in self.seeds]
        for step, batch in enumerate(self._batches(epoch), start=epoch * self.steps):
            for group, schedule in zip(self.optimizer.param_groups, self.schedules, strict=True):
                group["lr"] = schedule(step)
            logits, tuned = self.model.forward(batch.features, self._masks(len(batch.features), dropout))
            terms = self.loss(logits, batch.targets, tuned, batch.features, batch.weights)
            self.model.backward(terms.total)
            self.optimizer.step()
            sums.add_(torch.stack([term.detach() for term in terms], 1), alpha=len(batch.features))
            bar.update()
        return sums / len(self.rows)

    def _batches(self, epoch: int) -> Iterator[Batch]:
        """Rows (n, D) with targets (n,) or (n, K) that all heads share; or (n, H, D) with (n, H) or (n, H, K)."""
        orders = [
            self.rows.shuffled(self.batch_size, self.smallest, tensor_generator(seed, 0, epoch)) for seed in self.seeds
        ]
        turns = (index for indices in zip(*orders, strict=True) for index in indices)
        with closing(self.rows.batches(turns)) as arriving:
            for parts in zip(*[arriving] * len(orders), strict=True):
                if len(parts) == 1:
                    yield parts[0]
                else:
                    features, targets, weights = zip(*parts, strict=True)
                    known = weights[0] is not None
                    yield Batch(self._each(features), self._each(targets), self._each(weights) if known else None)

    def _each(self, parts: Sequence[Tensor]) -> Tensor:
        """(n, H, ...) of (n, ...) for each seed."""
        return torch.stack(list(parts), 1).index_select(1, self.seed_of_head)

    def _masks(self, count: int, generators: Sequence[torch.Generator]) -> list[Tensor]:
        """What `torch.nn.functional.dropout` draws on the CPU from each seed's generator, in its order."""
        masks: list[Tensor] = []
        for dropout in self._dropouts:
            width = self.model.template.config()["hidden_features"]
            kept = 1 - dropout.p
            like = torch.empty(count, width, dtype=self.rows.dtype)
            parts = [
                like.clone().bernoulli_(kept, generator=generator).div_(kept) if kept else like.zero_()
                for generator in generators
            ]
            masks.append(self._each([part.to(self.rows.device) for part in parts]))
        return masks


def train_together(trials: Sequence[Trial], task: Task, bar: Bar) -> tuple[list[Record], list[State]]:
    """Train the heads of some trials; what each is like after the last epoch, and its state dictionary."""
    together = Together(trials, task)
    finite = torch.ones(len(trials), dtype=torch.bool)
    means = torch.empty(0)
    for epoch in range(task.epochs):
        means = together.epoch(epoch, bar).cpu()
        finite &= means[:, 0].isfinite()
    states: list[State] = [together.model.state(index) for index in range(len(trials))]
    heads = [trial.configuration.filled(state) for trial, state in zip(trials, states, strict=True)]
    validated = evaluate_each(heads, task.held_out)
    terms = [f"train_{name}" for name in NMTuneTerms._fields]
    records = [dict(zip(terms, row, strict=True)) | val for row, val in zip(means.tolist(), validated, strict=True)]
    for record, is_finite in zip(records, finite.tolist(), strict=True):
        if not is_finite:
            record.update(dict.fromkeys(record, math.nan))
    found = [{**record, CORRECT: right} for record, right in zip(records, _right(heads, task.held_out), strict=True)]
    return found, states


def _right(heads: Sequence[Head], rows: LabelledRows) -> list[str]:
    """Which rows each head (in evaluation mode) gets right, as packed bits in hexadecimal, which JSON can hold."""
    parts: list[Tensor] = []
    with torch.no_grad():
        for features, targets, _ in rows.in_order():
            classes = targets.argmax(1) if targets.is_floating_point() else targets
            parts.append(torch.stack([head(features).argmax(1) == classes for head in heads]))
    return [np.packbits(row).tobytes().hex() for row in torch.cat(parts, 1).cpu().numpy()]


def _generator(seed: int, epoch: int) -> torch.Generator:
    """What `fit` seeds torch's global generator with for an epoch's dropout."""
    return torch.Generator().manual_seed(tensor_generator(seed, 1, epoch).initial_seed())
