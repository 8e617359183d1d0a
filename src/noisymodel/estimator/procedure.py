"""``weights="auto"``: cross-validation decides which probes and heads are averaged."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from tqdm import tqdm

from ..heads import AveragedHead
from ..heads.convex import fold_ids
from ..heads.convex_probes import KERNEL_PENALTIES, LINEAR_PENALTIES
from ..sweeping import Choice
from .members import (
    FREE,
    KERNEL,
    LANDMARKS,
    LINEAR,
    MOST_EPOCHS,
    Data,
    Member,
    epochs_of,
    heads_member,
    probe_member,
)

FEW = 20
"""Below this many labels a class, only probes are tried."""
FEW_ROWS = 400
"""Below this many rows, or fewer rows than features, only probes are tried."""
WITHIN = 1.1
"""A member is averaged only if its out-of-fold log-loss is at most so many times the lowest."""
_FOLDS = 5
_BAR = "{desc}{percentage:3.0f}%|{bar}| {elapsed}<{remaining}"
_MANY_ROWS = 20_000  # above, members are evaluated on a part of the rows
_JUDGED = 10_000
_KERNEL_SIZE = 10**9  # rows · landmarks · classes up to which the kernel is tried

Report = Callable[[nn.Module, Mapping[str, float]], None]


class Selection(NamedTuple):
    """The members that ``weights="auto"`` tried and chose.

    Attributes:
        table: one dictionary for each member tried: ``member``, ``log_loss`` and ``accuracy`` of its calibrated
            out-of-fold predictions, ``models`` (how many are averaged), ``chosen``, and its settings.
        chosen: the names of the members that are averaged.
        explanation: one or two sentences for people.
        log_loss, accuracy: the figures of the average, out of fold.
    """

    table: list[dict[str, Any]]
    chosen: list[str]
    explanation: str
    log_loss: float
    accuracy: float


class Fitted(NamedTuple):
    """The fitted head, its history, and the reason for its choice."""

    head: nn.Module
    history: list[dict[str, float]]
    selection: Selection | Choice | None
    explanation: str


def folds_of(targets: npt.NDArray[np.int64], seed: int) -> npt.NDArray[np.int64]:
    """Split all rows into five folds, fewer if the smallest class has fewer rows; or many rows into one of 10,000."""
    if len(targets) > _MANY_ROWS:
        return fold_ids(targets, 1, seed, most=_JUDGED)
    smallest = int(np.bincount(targets)[np.unique(targets)].min())
    return fold_ids(targets, int(np.clip(smallest, 2, _FOLDS)), seed)


def decide(
    data: Data,
    settings: Mapping[str, Any],
    training: Mapping[str, Any],
    *,
    shown: bool = False,
    on_member: Report | None = None,
) -> Fitted:
    """Try the members that suit the size of the data, and average the good ones.

    The linear and the kernel probe are always tried, the kernel up to 10⁹ rows · landmarks · classes. NMTune heads with
    ``settings``, one for each fold, are tried if there are at least 20 labels a class (the mean over the classes), 400
    rows, and as many rows as features. Each member has its own temperature.

    The heads' out-of-fold log-loss is that of a single head. If it is the lowest, the heads are taken alone. Otherwise
    the members within 1.1 times the lowest are averaged in log-probability; the linear probe is included only if it is
    the best or no heads are tried. The average gets its own temperature. Without ``data.calibrate`` there are no
    temperatures.
    """
    labels = len(data.targets) / data.num_classes
    count, width = data.features.shape
    few = labels < FEW or count < max(FEW_ROWS, width)
    names = [LINEAR, KERNEL] if few else [LINEAR, KERNEL, FREE]
    if count * min(count, LANDMARKS) * data.num_classes > _KERNEL_SIZE:
        names.remove(KERNEL)
    batch_size = training["batch_size"]
    epochs = epochs_of(data, batch_size, min(training["epochs"], MOST_EPOCHS), training["minimum_steps"])
    own = {name: value for name, value in training.items() if name != "minimum_steps"} | {"epochs": epochs}
    found: list[Member] = []
    history: list[dict[str, float]] = []
    works = {name: _work(data, name, own["epochs"], settings["hidden_features"]) for name in names}
    total = sum(work.steps * work.cost for work in works.values())
    with tqdm(total=total, disable=not shown, bar_format=_BAR) as bar:
        for name, work in works.items():
            began, end = time.perf_counter(), bar.n + work.steps * work.cost
            bar.set_description(f"{name}: {work.what}")
            step = partial(_advance, bar, work.cost, end)
            one = heads_member(data, settings, own, step) if name == FREE else probe_member(data, name, step)
            _advance(bar, end, end)  # a path of penalties may end early
            found.append(one)
            record = {"epoch": len(found), "validation_loss": one.log_loss, "validation_accuracy": one.accuracy}
            history.append({**record, "seconds": time.perf_counter() - began})
            if shown:
                bar.write(f"{name}: out-of-fold log-loss {one.log_loss:.3f}, accuracy {100 * one.accuracy:.1f} %")
            if on_member is not None:
                on_member(_averaged([one], 1.0), history[-1])
    return _average(data, found, history)


class _Work(NamedTuple):
    """What a member does: in words, in steps, and the cost of a step in products of numbers."""

    what: str
    steps: int
    cost: float


def _work(data: Data, name: str, epochs: int, hidden: int) -> _Work:
    count, width = data.features.shape
    if name == FREE:
        heads = len(data.insides)
        return _Work(f"{heads} heads, {epochs} epochs", epochs, 12.0 * heads * count * width * hidden)
    penalties, columns = (LINEAR_PENALTIES, width) if name == LINEAR else (KERNEL_PENALTIES, min(LANDMARKS, count))
    folds = len(data.fold_list)
    cost = 60.0 * count * data.num_classes * columns  # some 30 iterations of two products each
    return _Work(f"{len(penalties)} penalties, {folds} folds", len(penalties) * folds, cost)


def _advance(bar: tqdm[Any], cost: float, end: float) -> None:
    bar.update(min(cost, end - bar.n))


def _average(data: Data, found: list[Member], history: list[dict[str, float]]) -> Fitted:
    chosen = _chosen(found)
    mean = torch.stack([one.out_of_fold.log_softmax(1) for one in chosen]).mean(0)
    factor = data.factor(mean)
    loss, accuracy = data.scores(factor * mean)
    names = [one.name for one in chosen]
    table = [
        {
            "member": one.name,
            "log_loss": one.log_loss,
            "accuracy": one.accuracy,
            "models": len(one.modules),
            "chosen": one.name in names,
            **one.detail,
        }
        for one in found
    ]
    selection = Selection(table, names, _explanation(found, names, data), loss, accuracy)
    return Fitted(_averaged(chosen, factor), history, selection, selection.explanation)


def _chosen(found: list[Member]) -> list[Member]:
    best = min(found, key=lambda one: one.log_loss)
    if best.name == FREE:
        return [best]
    trained = any(one.name == FREE for one in found)
    within = [one for one in found if one.log_loss <= WITHIN * best.log_loss]
    return [one for one in within if one is best or not trained or one.name != LINEAR]


def _averaged(members: list[Member], factor: float) -> nn.Module:
    """The module itself if there is only one, already calibrated; else the average of all."""
    modules = [module for one in members for module in one.modules]
    if len(modules) == 1 and members[0].factor == 1.0:
        return modules[0]
    factors = [one.factor for one in members for _ in one.modules]
    shares = [1 / len(one.modules) for one in members for _ in one.modules]
    return AveragedHead(modules, factors=factors, shares=shares, factor=factor).eval()


def _explanation(found: list[Member], chosen: list[str], data: Data) -> str:
    what = " and ".join(f"the {name}" for name in chosen)
    verb = "averaged" if len(chosen) > 1 else "taken alone"
    losses = ", ".join(f"{one.name} {one.log_loss:.3f}" for one in found)
    why = "of the lowest out-of-fold log-loss" if len(chosen) == 1 else "close in out-of-fold log-loss"
    count, width = data.features.shape
    labels, few = count / data.num_classes, ""
    if not any(one.name == FREE for one in found):
        wide = labels >= FEW and count >= FEW_ROWS
        what_few = f"fewer rows ({count}) than features ({width})" if wide else "so few rows"
        few = f"; {what_few} do not carry a network, probes only were tried"
    return f"{what[0].upper()}{what[1:]}, {verb}: {why} ({losses}) with {labels:.3g} labels a class{few}."
