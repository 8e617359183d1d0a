"""`train_heads`: train several heads at once, each on its own rows and with its own seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from .._checks import check_seed
from ..heads import Head
from ..losses import NMTuneTerms
from ..training.batches import LabelledRows, RowSource, count_batches, labelled_rows
from ..training.loop import check_head, shape_of
from ..training.run import DivergedError, Run, Settings, smallest_batch, train_terms
from ..training.schedule import Rates
from .stacked import can_be_stacked
from .together import Order, Together

Record = dict[str, float]
OnEpoch = Callable[[Mapping[int, Record]], object]


def train_heads(
    heads: Sequence[Head],
    features: Tensor | RowSource,
    targets: object,
    *,
    seeds: Sequence[int],
    rows: Sequence[object] | None = None,
    epochs: int = 30,
    batch_size: int = 64,
    learning_rate: float = 1e-3,
    weight_decay: float = 1e-4,
    warmup: float = 0,
    sample_weight: object = None,
    device: torch.device | str | None = None,
    on_epoch: OnEpoch | None = None,
    progress: bool = False,
) -> list[list[Record]]:
    """Train several heads in place, each on its own rows, for example the folds of a cross-validation.

    Head i is trained as by ``fit(heads[i], features[rows[i]], targets[rows[i]], seed=seeds[i], ...)``, up to the
    rounding of batched products. Heads of one kind with the same number of rows are trained as one batched model. Any
    `Head` is allowed: a head that cannot be batched is trained alone. Parameters with ``requires_grad=False`` do not
    change.

    Args:
        heads: with classifiers, all of the same D, K and type.
        features: (N, D), as in `noisymodel.fit`.
        targets: class ids (N,), −100 for none, or class probabilities (N, K).
        seeds: one for each head; it fixes the order of the rows and all random numbers of the training.
        rows: for each head the indices of its rows or a mask (N,); ``None``: all rows for all heads.
        epochs: as in `fit`.
        batch_size: as in `fit`.
        learning_rate: as in `fit`.
        weight_decay: as in `fit`.
        warmup: as in `fit`.
        sample_weight: (N,) as in `fit`; divided by the mean over a head's own rows.
        device: where to train, and where the heads are afterwards; ``None``: the device of the first head.
        on_epoch: called after each epoch of each batched model with a dictionary {index of a head: its record}.
        progress: whether to show a progress bar on stderr.

    Returns:
        The heads' histories: for each epoch a dictionary of ``epoch``, ``learning_rate`` and ``train_total``,
        ``train_task`` and so on, as in `fit`. The heads are in evaluation mode. If the loss of a head is not finite,
        its history has NaN from that epoch on, and the head is useless; the other heads are unaffected.

    Raises:
        ValueError: for arguments that `fit` refuses, and if there are not as many seeds or rows as heads.
        TypeError: for arguments of the wrong type.

    >>> import torch
    >>> from noisymodel import NMTune
    >>> from noisymodel.sweeping import train_heads
    >>> generator = torch.Generator().manual_seed(0)
    >>> targets = torch.arange(90) % 3
    >>> features = torch.randn(90, 8, generator=generator) + torch.eye(8)[targets]
    >>> folds = [torch.arange(90) % 3 != fold for fold in range(3)]
    >>> heads = [NMTune(8, 3, generator=generator) for _ in folds]
    >>> histories = train_heads(heads, features, targets, rows=folds, seeds=[0, 1, 2], epochs=2)
    >>> [len(history) for history in histories]
    [2, 2, 2]
    """
    heads = _checked(heads)
    settings = Settings(epochs, batch_size, Rates(learning_rate, weight_decay, warmup), 0).checked()
    place = next(heads[0].parameters()).device if device is None else torch.device(device)
    for head in heads:
        head.to(place)
    table = labelled_rows(features, targets, **shape_of(heads[0]), sample_weight=sample_weight)
    orders = _orders(rows, seeds, len(heads), len(table))
    groups: dict[int, list[int]] = {}
    for index, order in enumerate(orders):
        groups.setdefault(order.count(table), []).append(index)
    histories: list[list[Record]] = [[] for _ in heads]
    with tqdm(total=_steps(heads, groups, settings), unit="step", disable=not progress) as bar:
        for members in groups.values():
            trained = [heads[index] for index in members]
            train = _stacked if can_be_stacked(trained) else _alone
            for records in train(trained, [orders[index] for index in members], table, settings, bar):
                told = {members[place]: record for place, record in records.items()}
                for index, record in told.items():
                    histories[index].append(record)
                if on_epoch is not None:
                    on_epoch(told)
    for head in heads:
        head.eval()
        head.zero_grad()
    return histories


def _stacked(
    heads: Sequence[Head], orders: Sequence[Order], rows: LabelledRows, settings: Settings, bar: tqdm[Any]
) -> Any:
    """Train one batched model; yield after each epoch the records by the indices of the heads."""
    rates = [settings.rates] * len(heads)
    together = Together(heads, orders, rates, rows, epochs=settings.epochs, batch_size=settings.batch_size)
    for epoch, means in enumerate(together.train(bar)):
        start = {"epoch": epoch + 1, "learning_rate": together.schedules[0](epoch * together.steps)}
        yield {place: {**start, **train_terms(row)} for place, row in enumerate(means.tolist())}
    for place, head in enumerate(heads):
        head.load_state_dict(together.model.state(place))


def _alone(
    heads: Sequence[Head], orders: Sequence[Order], rows: LabelledRows, settings: Settings, bar: tqdm[Any]
) -> Any:
    for place, (head, order) in enumerate(zip(heads, orders, strict=True)):
        run = Run(head, rows if order.rows is None else rows.subset(order.rows), None, settings)
        lost = False
        for epoch in range(settings.epochs):
            record = {"epoch": epoch + 1, "learning_rate": run.schedule(epoch * run.steps)}
            record |= train_terms([math.nan] * len(NMTuneTerms._fields))
            if not lost:
                try:
                    record = run.epoch(epoch, order.seed, bar)
                    del record["seconds"]
                except DivergedError:
                    lost = True
            yield {place: record}


def _checked(heads: Sequence[Head]) -> list[Head]:
    heads = list(heads)
    if not heads:
        raise ValueError("`heads` must have at least one head, got none")
    for head in heads:
        check_head(head)
    shapes = {(head.in_features, head.num_classes, next(head.parameters()).dtype) for head in heads}
    if len(shapes) > 1:
        raise ValueError(f"`heads` must have the same features, classes and type, got {sorted(map(str, shapes))}")
    if len({id(head) for head in heads}) < len(heads):
        raise ValueError("`heads` must be different objects, got one of them twice: copy.deepcopy(head)")
    return heads


def _orders(rows: Sequence[object] | None, seeds: Sequence[int], num_heads: int, count: int) -> list[Order]:
    checked = [check_seed(seed, "seeds") for seed in seeds]
    if len(checked) != num_heads:
        raise ValueError(f"`seeds` must be one for each of {num_heads} heads, got {len(checked)}")
    if rows is None:
        return [Order(seed) for seed in checked]
    if len(rows) != num_heads:
        raise ValueError(f"`rows` must be one subset for each of {num_heads} heads, got {len(rows)}")
    indices = {id(one): _index(one, count) for one in rows}
    return [Order(seed, indices[id(one)]) for seed, one in zip(checked, rows, strict=True)]


def _index(rows: object, count: int) -> Tensor:
    index = torch.as_tensor(rows, device="cpu")
    if index.dtype == torch.bool and index.shape == (count,):
        index = index.nonzero()[:, 0]
    if index.ndim != 1 or index.is_floating_point() or index.dtype == torch.bool:
        raise ValueError(f"`rows` must be indices (n,) or masks ({count},), got {index.dtype} of {tuple(index.shape)}")
    if len(index) == 0 or int(index.min()) < 0 or int(index.max()) >= count:
        raise ValueError(f"`rows` must be indices in [0, {count}), at least one for each head")
    return index.long()


def _steps(heads: Sequence[Head], groups: Mapping[int, Sequence[int]], settings: Settings) -> int:
    total = 0
    for count, members in groups.items():
        smallest = smallest_batch(heads[members[0]], count, settings.batch_size)
        models = 1 if can_be_stacked([heads[index] for index in members]) else len(members)
        total += models * settings.epochs * count_batches(count, settings.batch_size, smallest)
    return total
