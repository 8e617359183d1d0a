"""Training heads of one architecture together, each as `noisymodel.fit` would train it alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import groupby
from typing import Any, NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from .._random import tensor_generator
from ..heads import Head
from ..heads.randomness import random_layers
from ..losses import NMTuneTerms
from ..training.batches import LabelledRows, count_batches, shuffled
from ..training.feeding import Batch
from ..training.optimizer import adamw
from ..training.run import add_terms, smallest_batch, zero_sums
from ..training.schedule import Rates, Schedule
from .stacked import StackedHeads


class Order(NamedTuple):
    """The batches of a head follow from a seed and its rows (an ascending index; None: all rows)."""

    seed: int
    rows: Tensor | None = None

    def count(self, rows: LabelledRows) -> int:
        """The number of rows."""
        return len(rows) if self.rows is None else len(self.rows)

    def batches(self, count: int, batch_size: int, smallest: int, epoch: int) -> list[Tensor]:
        """The indices of an epoch's batches."""
        parts = shuffled(count, batch_size, smallest, tensor_generator(self.seed, 0, epoch))
        return parts if self.rows is None else [self.rows[part] for part in parts]


class Together:
    """One batched model of heads of one kind with equally many rows, and its optimizer.

    There is one entry of ``orders`` and of ``rates`` for each head. Heads of equal rates should be adjacent.
    """

    def __init__(
        self,
        heads: Sequence[Head],
        orders: Sequence[Order],
        rates: Sequence[Rates],
        rows: LabelledRows,
        *,
        epochs: int,
        batch_size: int,
    ) -> None:
        self.rows, self.epochs, self.batch_size = rows, epochs, batch_size
        self.count = orders[0].count(rows)
        self.smallest = smallest_batch(heads[0], self.count, batch_size)
        self.steps = count_batches(self.count, batch_size, self.smallest)
        keys = [(order.seed, id(order.rows)) for order in orders]
        self.orders = [orders[keys.index(key)] for key in dict.fromkeys(keys)]
        self.order_of_head = [list(dict.fromkeys(keys)).index(key) for key in keys]
        self.weight_scale = [_weight_scale(order, rows) for order in self.orders]
        self.layers = random_layers(heads[0])
        self.model = StackedHeads(heads, device=rows.device, dtype=rows.dtype)
        self._prepare_optimizer(rates)

    def _prepare_optimizer(self, rates: Sequence[Rates]) -> None:
        """Make a parameter group for each run of equal rates: views of its heads, or the whole parameters."""
        self.trained = [value for value in self.model.parameters.values() if value.requires_grad]
        self.parts: list[slice] = []
        self.schedules: list[Schedule] = []
        groups: list[dict[str, Any]] = []
        for rate, members in groupby(rates):
            begin = self.parts[-1].stop if self.parts else 0
            part = slice(begin, begin + len(list(members)))
            views = [value.detach()[part] for value in self.trained]
            groups.append({"params": views, "weight_decay": rate.weight_decay})
            self.parts.append(part)
            self.schedules.append(rate.schedule(self.epochs, self.steps))
        self.optimizer = adamw(groups, self.rows.device)

    def train(self, bar: tqdm[Any]) -> Iterator[Tensor]:
        """Train all epochs; yield after each the terms' means (H, terms) over the rows.

        A head whose loss was not finite has NaN from then on.
        """
        lost = torch.zeros(self.model.count, dtype=torch.bool, device="cpu")
        for epoch in range(self.epochs):
            means = self._epoch(epoch, bar).cpu()
            lost |= ~means[:, 0].isfinite()
            means[lost] = math.nan
            yield means

    def _epoch(self, epoch: int, bar: tqdm[Any]) -> Tensor:
        sums = zero_sums(self.model.count, len(NMTuneTerms._fields), device=self.rows.device)
        generators = [tensor_generator(order.seed, 1, epoch) for order in self.orders]
        for step, batch in enumerate(self._batches(epoch), start=epoch * self.steps):
            count = batch.features.shape[-2]
            terms = self.model.loss(batch, self._drawn(count, generators))
            terms.total.sum().backward()  # heads are independent, so each gets its own gradients
            self._step(step)
            add_terms(sums, terms, count)
            bar.update()
        return sums / self.count

    def _step(self, step: int) -> None:
        for group, schedule, part in zip(self.optimizer.param_groups, self.schedules, self.parts, strict=True):
            group["lr"] = schedule(step)
            for view, value in zip(group["params"], self.trained, strict=True):
                view.grad = None if value.grad is None else value.grad[part]
        self.optimizer.step()
        for value in self.trained:
            value.grad = None

    def _batches(self, epoch: int) -> Iterator[Batch]:
        """Rows (n, D) with targets (n,) or (n, K), shared by all heads; or all of them with a leading axis H."""
        of_orders = [order.batches(self.count, self.batch_size, self.smallest, epoch) for order in self.orders]
        turns = (index for indices in zip(*of_orders, strict=True) for index in indices)
        with closing(self.rows.batches(turns)) as arriving:
            for parts in zip(*[arriving] * len(of_orders), strict=True):
                features, targets, weights = zip(*parts, strict=True)
                scaled = None
                if weights[0] is not None:
                    scaled = [weight * scale for weight, scale in zip(weights, self.weight_scale, strict=True)]
                yield Batch(self._each(features), self._each(targets), None if scaled is None else self._each(scaled))

    def _each(self, parts: Sequence[Tensor]) -> Tensor:
        """With one order, the tensor that all heads share; else (H, ...), from one tensor (...) for each order."""
        if len(parts) == 1:
            return parts[0]
        return torch.stack([parts[place] for place in self.order_of_head])

    def _drawn(self, count: int, generators: Sequence[torch.Generator]) -> dict[str, Tensor]:
        """The random numbers of the random layers for each head, drawn in the same order as in `fit`."""
        drawn: dict[str, list[Tensor]] = {name: [] for name in self.layers}
        for generator in generators:
            for name, layer in self.layers.items():
                drawn[name].append(layer.draw(count, generator))
        place, dtype = self.rows.device, self.rows.dtype
        each = {name: self._each([part.to(place, dtype) for part in parts]) for name, parts in drawn.items()}
        if len(self.orders) > 1:
            return {f"{name}.drawn": value for name, value in each.items()}
        return {f"{name}.drawn": value.expand(self.model.count, *value.shape) for name, value in each.items()}


def _weight_scale(order: Order, rows: LabelledRows) -> float:
    """The factor that makes the mean weight of an order's rows one, as in `fit`."""
    if rows.weights is None or order.rows is None:
        return 1.0
    return 1.0 / float(rows.weights[order.rows.to(rows.weights.device)].mean())
