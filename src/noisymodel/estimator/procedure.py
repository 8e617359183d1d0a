"""``weights="auto"``: by cross-validation, which of the probes and heads are averaged."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from ..heads import AveragedHead
from ..heads.convex import fold_ids, log_loss, temperature
from ..heads.convex_probes import KERNEL_PENALTIES, LINEAR_PENALTIES
from .members import (
    FREE,
    KERNEL,
    LANDMARKS,
    LINEAR,
    MOST_EPOCHS,
    START_EPOCHS,
    START_STEPS,
    STARTED,
    Data,
    Member,
    epochs_of,
    free_member,
    kernel_member,
    linear_member,
    started_member,
    steps_of,
)
from .progress import Bar, Stage

FEW = 20
"""Labels a class below which only probes are tried."""
WITHIN = 1.1
"""A member is averaged where its out-of-fold log-loss is at most so many times the lowest."""
_FOLDS = 5
_MANY_ROWS = 20_000  # more are judged on a part of them
_JUDGED = 10_000
_KERNEL_SIZE = 10**9  # rows · landmarks · classes up to which the kernel is tried

Report = Callable[[nn.Module, Mapping[str, float]], None]


class Selection(NamedTuple):
    """What ``weights="auto"`` tried and chose.

    Attributes:
        table: one dictionary for each member tried: ``member``, ``log_loss`` and ``accuracy`` of its calibrated
            out-of-fold predictions, ``models`` (how many are averaged), ``chosen``, and its settings.
        chosen: the names of the members that are averaged.
        explanation: one or two sentences for people.
        log_loss, accuracy: of the average, out of fold.
    """

    table: list[dict[str, Any]]
    chosen: list[str]
    explanation: str
    log_loss: float
    accuracy: float


class Decided(NamedTuple):
    """The head, what led to it, and one record for each member."""

    head: nn.Module
    selection: Selection
    history: list[dict[str, float]]


def folds_of(targets: npt.NDArray[np.int64], seed: int) -> npt.NDArray[np.int64]:
    """Five folds of all rows, or fewer where the smallest class has fewer rows; of many rows, one of 10,000."""
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
) -> Decided:
    """Try what the data can carry and average what is good.

    Below 20 labels a class (the mean over the classes): the linear and the kernel probe. From there on: the kernel
    probe (up to 10⁹ rows · landmarks · classes), A, a head begun at the linear probe, and B, a free head of
    ``settings``; A and B are the models of the folds. Averaged, in log-probability, are all whose out-of-fold log-loss,
    each after its own temperature, is at most 1.1 times the lowest. The average has a temperature again.
    """
    labels = len(data.targets) / data.num_classes
    names = [LINEAR, KERNEL] if labels < FEW else [LINEAR, KERNEL, STARTED, FREE]
    count, width = data.features.shape
    landmarks = min(count, LANDMARKS)
    if count * landmarks * data.num_classes > _KERNEL_SIZE:
        names.remove(KERNEL)
    batch_size = training["batch_size"]
    epochs = epochs_of(data, batch_size, min(training["epochs"], MOST_EPOCHS), training["minimum_steps"])
    own = {name: value for name, value in training.items() if name != "minimum_steps"} | {"epochs": epochs}
    bar = Bar(_stages(data, names, own, settings), shown=shown)
    found: list[Member] = []
    history: list[dict[str, float]] = []
    try:
        for name in names:
            began = time.perf_counter()
            one = _try(data, name, found, settings, own, bar)
            found.append(one)
            record = {"epoch": len(found), "validation_loss": one.log_loss, "validation_accuracy": one.accuracy}
            history.append({**record, "seconds": time.perf_counter() - began})
            bar.say(f"{name}: out-of-fold log-loss {one.log_loss:.3f}, accuracy {100 * one.accuracy:.1f} %")
            if on_member is not None:
                on_member(_averaged([one], 1.0), history[-1])
    finally:
        bar.close()
    return _average(data, found, labels, history)


def _try(
    data: Data, name: str, found: list[Member], settings: Mapping[str, Any], training: Mapping[str, Any], bar: Bar
) -> Member:
    folds = len(data.fold_list)
    if name == LINEAR:
        return linear_member(data, bar.begin(name, f"{len(LINEAR_PENALTIES)} penalties, {folds} folds"))
    if name == KERNEL:
        return kernel_member(data, bar.begin(name, f"{len(KERNEL_PENALTIES)} penalties, {folds} folds"))
    step = bar.begin(name, f"{folds} heads, one for each fold")
    if name == STARTED:
        return started_member(data, found[0].detail["penalty"], training["batch_size"], step)
    return free_member(data, settings, training, step)


def _average(data: Data, found: list[Member], labels: float, history: list[dict[str, float]]) -> Decided:
    lowest = min(one.log_loss for one in found)
    chosen = [one for one in found if one.log_loss <= WITHIN * lowest]
    if any(one.name == STARTED for one in chosen):  # which begins at the linear probe, and takes its place
        chosen = [one for one in chosen if one.name != LINEAR]
    mean = torch.stack([one.out_of_fold.log_softmax(1) for one in chosen]).mean(0)
    logits, targets, weight = data.judged(mean)
    factor = temperature(logits, targets, weights=weight)
    loss = log_loss(factor * logits, targets, weights=weight)
    right = (logits.argmax(1) == targets.argmax(1)).to(logits.dtype)
    accuracy = float(right.mean() if weight is None else (right * weight).sum() / weight.sum())
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
    selection = Selection(table, names, _explanation(found, names, labels), loss, accuracy)
    return Decided(_averaged(chosen, factor), selection, history)


def _averaged(members: list[Member], factor: float) -> nn.Module:
    """The one module where there is one, calibrated already; else the average of all."""
    modules = [module for one in members for module in one.modules]
    if len(modules) == 1 and members[0].factor == 1.0:
        return modules[0]
    factors = [one.factor for one in members for _ in one.modules]
    shares = [1 / len(one.modules) for one in members for _ in one.modules]
    return AveragedHead(modules, factors=factors, shares=shares, factor=factor).eval()


def _explanation(found: list[Member], chosen: list[str], labels: float) -> str:
    what = "the " + " and the ".join(chosen)
    verb = "predicts" if len(chosen) == 1 else "are averaged"
    losses = ", ".join(f"{one.name} {one.log_loss:.3f}" for one in found)
    if labels < FEW:
        why = f"with {labels:.3g} labels a class (fewer than {FEW}) a trained network gains nothing over the probes"
        return f"{what[0].upper()}{what[1:]} {verb}: {why}. Out-of-fold log-loss: {losses}."
    why = f"their out-of-fold log-loss is within {100 * (WITHIN - 1):.0f} % of the lowest"
    return f"{what[0].upper()}{what[1:]} {verb}: {why} ({losses}; {labels:.0f} labels a class)."


def _stages(data: Data, names: list[str], training: Mapping[str, Any], settings: Mapping[str, Any]) -> list[Stage]:
    """What is tried, with its cost in products of the features with a matrix as wide as they are."""
    count, width = data.features.shape
    folds, batch_size = len(data.fold_list), training["batch_size"]
    fit = 60.0 * count * data.num_classes  # 30 iterations of two products each
    hidden = settings["hidden_features"] or min(4 * width, 2048)
    an_epoch = steps_of(data, batch_size)
    step = 6.0 * folds * min(batch_size, count)  # forward, backward and the optimizer
    started = an_epoch * epochs_of(data, batch_size, START_EPOCHS, START_STEPS)
    stages = {
        LINEAR: Stage(LINEAR, folds * len(LINEAR_PENALTIES), fit * width),
        KERNEL: Stage(KERNEL, folds * len(KERNEL_PENALTIES), fit * min(LANDMARKS, count)),
        STARTED: Stage(STARTED, started, step * 2 * width * max(16, width // 2)),
        FREE: Stage(FREE, an_epoch * training["epochs"], step * 2 * width * hidden),
    }
    return [stages[name] for name in names]


