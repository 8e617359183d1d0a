"""The members that the classifier chooses from: two probes and NMTune heads, each evaluated out of fold."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from .._random import tensor_generator
from ..heads import NMTune
from ..heads.convex import log_loss, temperature
from ..heads.convex_probes import fit_kernel_probe, fit_linear_probe
from ..sweeping import train_heads

LINEAR, KERNEL, FREE = "linear probe", "kernel probe", "NMTune heads"
LANDMARKS = 1500
MOST_EPOCHS, MOST_STEPS = 10, 6000
_HEADS_OF_ONE = 3
_STARTS, _SEEDS = 20, 21
_PIECE = 8192

Step = Callable[[], None]


class Data(NamedTuple):
    """Features (N, D) float32 on the device, targets (N,), weights (N,) or None, and the fold of each row (N,).

    ``calibrate`` says whether members have temperatures.
    """

    features: Tensor
    targets: npt.NDArray[np.int64]
    weights: npt.NDArray[Any] | None
    folds: npt.NDArray[np.int64]
    num_classes: int
    seed: int
    calibrate: bool = True

    @property
    def fold_list(self) -> list[int]:
        """The folds that hold rows out."""
        return sorted(set(self.folds[self.folds >= 0].tolist()))

    @property
    def insides(self) -> list[npt.NDArray[np.int64]]:
        """The rows outside each fold, on which its models train; a single fold's rows are listed three times."""
        folds = self.fold_list
        return [np.flatnonzero(self.folds != fold) for fold in (folds if len(folds) > 1 else folds * _HEADS_OF_ONE)]

    @property
    def probabilities(self) -> Tensor:
        """One-hot targets (N, K)."""
        ids = torch.from_numpy(self.targets).to(self.features.device)
        return nn.functional.one_hot(ids, self.num_classes).to(self.features.dtype)

    @property
    def weight(self) -> Tensor | None:
        """The weights as a tensor."""
        return None if self.weights is None else torch.from_numpy(self.weights).to(self.features)

    def judged(self, logits: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Logits, class probabilities and weights of the rows that a fold holds out."""
        held = torch.from_numpy(self.folds >= 0).to(logits.device)
        weight = self.weight
        return logits[held], self.probabilities[held], None if weight is None else weight[held]


class Member(NamedTuple):
    """Modules to be averaged, and their log-loss and accuracy on rows that they were not trained on.

    The modules' logits are to be multiplied by ``factor``; the logits ``out_of_fold`` (N, K) already are.
    """

    name: str
    modules: list[Any]
    factor: float
    out_of_fold: Tensor
    log_loss: float
    accuracy: float
    detail: dict[str, Any]


def linear_member(data: Data, step: Step) -> Member:
    """Fit logistic regression with the strongest penalty within one standard error of the best."""
    found = fit_linear_probe(
        data.features,
        data.targets,
        num_classes=data.num_classes,
        folds=data.folds,
        sample_weight=data.weights,
        calibrate=data.calibrate,
        progress=step,
    )
    return member(data, LINEAR, [found.head], 1.0, found.out_of_fold, {"penalty": found.penalty})


def kernel_member(data: Data, step: Step) -> Member:
    """Fit kernel logistic regression with the best penalty."""
    found = fit_kernel_probe(
        data.features,
        data.targets,
        num_classes=data.num_classes,
        landmarks=LANDMARKS,
        folds=data.folds,
        sample_weight=data.weights,
        calibrate=data.calibrate,
        standard_errors=0.0,
        seed=data.seed,
        progress=step,
    )
    return member(data, KERNEL, [found.head], 1.0, found.out_of_fold, {"penalty": found.penalty})


def free_member(data: Data, settings: Mapping[str, Any], training: Mapping[str, Any], step: Step) -> Member:
    """Train a head with the given settings for each fold; with a single fold, three heads with different seeds."""
    width = data.features.shape[1]
    heads = [
        NMTune(width, data.num_classes, generator=tensor_generator(data.seed, _STARTS, number), **settings)
        for number in range(len(data.insides))
    ]
    return _trained(data, FREE, heads, dict(training), step)


def epochs_of(data: Data, batch_size: int, epochs: int, minimum_steps: int) -> int:
    """The epochs, raised to at least ``minimum_steps`` steps and lowered to at most 6,000 (but at least one epoch)."""
    an_epoch = steps_of(data, batch_size)
    return max(1, min(max(epochs, math.ceil(minimum_steps / an_epoch)), MOST_STEPS // an_epoch))


def steps_of(data: Data, batch_size: int) -> int:
    """The number of batches in an epoch over the largest training part."""
    return math.ceil(max(len(inside) for inside in data.insides) / batch_size)


def _trained(data: Data, name: str, heads: list[NMTune], training: dict[str, Any], step: Step) -> Member:
    """Train the heads together, each on the rows outside its fold, and evaluate each on its fold."""
    device = data.features.device
    fewest = min(len(inside) for inside in data.insides)  # heads with the same number of rows are one batched model
    rows = [torch.from_numpy(inside[len(inside) - fewest :]) for inside in data.insides]
    seeds = [int(tensor_generator(data.seed, _SEEDS, number).initial_seed()) for number in range(len(heads))]
    train_heads(
        heads,
        data.features,
        data.targets,
        rows=rows,
        seeds=seeds,
        sample_weight=data.weights,
        device=device,
        on_epoch=lambda _: step(),
        **training,
    )
    out = torch.zeros(len(data.targets), data.num_classes, dtype=torch.float32, device=device)
    with torch.no_grad():
        for head, inside in zip(heads, data.insides, strict=True):
            outside = np.setdiff1d(np.flatnonzero(data.folds >= 0), inside, assume_unique=True)
            held = torch.from_numpy(outside).to(device)
            out[held] = torch.cat([head(data.features[piece]) for piece in held.split(_PIECE)])
    logits, targets, weight = data.judged(out)
    factor = temperature(logits, targets, weights=weight) if data.calibrate else 1.0
    return member(data, name, list(heads), factor, out * factor, training)


def member(
    data: Data, name: str, modules: list[Any], factor: float, out_of_fold: Tensor | None, detail: dict[str, Any]
) -> Member:
    """Make a member, with its out-of-fold log-loss and accuracy."""
    out = torch.zeros_like(data.probabilities) if out_of_fold is None else out_of_fold
    logits, targets, weight = data.judged(out)
    right = (logits.argmax(1) == targets.argmax(1)).to(logits.dtype)
    accuracy = float(right.mean() if weight is None else (right * weight).sum() / weight.sum())
    loss = log_loss(logits, targets, weights=weight)
    return Member(name, [module.cpu().eval() for module in modules], factor, out, loss, accuracy, detail)
