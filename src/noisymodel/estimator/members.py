"""What the classifier chooses from: two probes and two heads, each judged on rows that it did not see."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from .._random import tensor_generator
from ..heads import KernelProbe, LinearProbe, NMTune, fit_kernel_probe, fit_linear_probe
from ..heads.convex import log_loss, multinomial, temperature
from ..heads.convex_probes import KERNEL_PENALTIES, LINEAR_PENALTIES, unit_rows
from ..sweeping import train_heads
from .progress import Bar

LANDMARKS = 1500
MOST_STEPS = 6000
MOST_EPOCHS = 10
_START_EPOCHS, _START_STEPS = 5, 150
_START = {"residual": True, "input_noise": 1.0, "reduction": "batchmean", "consistency_weight": 3.0}
_START |= {"covariance_weight": 0.0, "dominant_weight": 0.0}
_A, _B = 10, 20


class Data(NamedTuple):
    """Features (N, D) float32 on the device, targets (N,), weights (N,) or None, and the fold of each row (N,)."""

    features: Tensor
    targets: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float64] | None
    folds: npt.NDArray[np.int64]
    num_classes: int
    seed: int

    @property
    def fold_list(self) -> list[int]:
        """The folds that hold rows out."""
        return sorted(set(self.folds[self.folds >= 0].tolist()))

    @property
    def one_hot(self) -> Tensor:
        """Class probabilities (N, K)."""
        ids = torch.from_numpy(self.targets).to(self.features.device)
        return nn.functional.one_hot(ids, self.num_classes).to(self.features.dtype)

    @property
    def judged(self) -> Tensor:
        """(N,) which rows a fold holds out."""
        return torch.from_numpy(self.folds >= 0).to(self.features.device)

    @property
    def weight(self) -> Tensor | None:
        """The weights as a tensor."""
        return None if self.weights is None else torch.from_numpy(self.weights).to(self.features)


class Member(NamedTuple):
    """Modules that are averaged, and what they are worth.

    ``factor``: on their logits, by which ``out_of_fold`` (N, K) is multiplied already.
    """

    name: str
    modules: list[Any]
    factor: float
    out_of_fold: Tensor
    log_loss: float
    accuracy: float
    detail: dict[str, Any]


def linear_member(data: Data, bar: Bar) -> Member:
    """Logistic regression, the strongest penalty within one standard error."""
    found = fit_linear_probe(
        data.features,
        data.targets,
        num_classes=data.num_classes,
        folds=data.folds,
        sample_weight=data.weights,
        progress=bar.step(data.features.shape[1]),
    )
    return _judged(data, "linear probe", [found.head], 1.0, found.out_of_fold, {"penalty": found.penalty})


def kernel_member(data: Data, bar: Bar) -> Member:
    """Kernel logistic regression, the best penalty."""
    found = fit_kernel_probe(
        data.features,
        data.targets,
        num_classes=data.num_classes,
        landmarks=LANDMARKS,
        folds=data.folds,
        sample_weight=data.weights,
        standard_errors=0.0,
        seed=data.seed,
        progress=bar.step(min(LANDMARKS, len(data.targets))),
    )
    return _judged(data, "kernel probe", [found.head], 1.0, found.out_of_fold, {"penalty": found.penalty})


def started_member(data: Data, penalty: float, batch_size: int, bar: Bar) -> Member:
    """A: a residual network before a fixed probe, one head for each fold, each from the probe of that fold's rows."""
    device, width = data.features.device, data.features.shape[1]
    heads: list[NMTune] = []
    rows, one_hot, weight = unit_rows(data.features), data.one_hot, data.weight
    for number, inside in enumerate(_insides(data)):
        at = torch.from_numpy(inside).to(device)
        solution = multinomial(
            rows[at], one_hot[at], penalty, weights=None if weight is None else weight[at], iterations=100
        )
        head = NMTune(
            width,
            data.num_classes,
            hidden_features=max(16, width // 2),
            generator=tensor_generator(data.seed, _A, number),
            **_START,
        )
        head.start_from(probe_of(solution.cpu(), width))
        assert head.classifier is not None  # noqa: S101 - it was made with one
        head.classifier.requires_grad_(requires_grad=False)
        heads.append(head)
    schedule = {"epochs": _epochs(data, batch_size, _START_EPOCHS, _START_STEPS), "learning_rate": 2e-3}
    return _trained(data, "head from the probe", heads, _A, {**schedule, "batch_size": batch_size}, bar)


def free_member(data: Data, settings: Mapping[str, Any], training: Mapping[str, Any], bar: Bar) -> Member:
    """B: the classifier's own settings, one head for each fold."""
    width = data.features.shape[1]
    heads = [
        NMTune(width, data.num_classes, generator=tensor_generator(data.seed, _B, number), **settings)
        for number in range(len(_insides(data)))
    ]
    steps = training["minimum_steps"]
    own = {name: value for name, value in training.items() if name not in ("minimum_steps", "epochs")}
    epochs = _epochs(data, training["batch_size"], min(training["epochs"], MOST_EPOCHS), steps)
    return _trained(data, "free head", heads, _B, {**own, "epochs": epochs}, bar)


def probe_of(solution: Tensor, width: int) -> LinearProbe:
    """A `LinearProbe` on rows of length √D with the weights and biases (D + 1, K) of a convex fit."""
    probe = LinearProbe(width, solution.shape[1], normalize="l2")
    assert probe.classifier is not None  # noqa: S101 - it was made with one
    with torch.no_grad():
        probe.classifier.weight.copy_(solution[:-1].mT)
        probe.classifier.bias.copy_(solution[-1])
    return probe


def _trained(
    data: Data, name: str, heads: list[NMTune], stream: int, training: dict[str, Any], bar: Bar
) -> Member:
    insides = _insides(data)
    smallest = min(len(inside) for inside in insides)
    training["batch_size"] = max(min(training["batch_size"], smallest), heads[0].smallest_batch)
    seeds = [int(tensor_generator(data.seed, stream, number, 1).initial_seed()) for number in range(len(heads))]
    trained = train_heads(
        heads,
        data.features,
        data.targets,
        rows=[torch.from_numpy(inside) for inside in insides],
        seeds=seeds,
        sample_weight=data.weights,
        device=data.features.device,
        on_step=bar.step(),
        **training,
    )
    out = torch.zeros(len(data.targets), data.num_classes, device=data.features.device)
    with torch.no_grad():
        for number, fold in enumerate(data.fold_list):
            held = torch.from_numpy(data.folds == fold).to(out.device)
            head = trained[number].to(out.device).eval()
            out[held] = torch.cat([head(piece) for piece in data.features[held].split(8192)])
    judged, weight = data.judged, data.weight
    own = None if weight is None else weight[judged]
    factor = temperature(out[judged], data.one_hot[judged], weights=own)
    return _judged(data, name, list(trained), factor, out * factor, dict(training))


def _insides(data: Data) -> list[npt.NDArray[np.int64]]:
    """The rows outside each fold."""
    return [np.flatnonzero(data.folds != fold) for fold in data.fold_list]


def _epochs(data: Data, batch_size: int, epochs: int, minimum_steps: int) -> int:
    """Epochs that make at least ``minimum_steps`` steps, and at most 6,000 (but at least one epoch)."""
    rows = min(len(inside) for inside in _insides(data))
    an_epoch = max(1, math.ceil(rows / batch_size))
    return max(1, min(max(epochs, math.ceil(minimum_steps / an_epoch)), MOST_STEPS // an_epoch))


def _judged(
    data: Data, name: str, modules: list[Any], factor: float, out_of_fold: Tensor | None, detail: dict[str, Any]
) -> Member:
    judged, weight = data.judged, data.weight
    own = None if weight is None else weight[judged]
    logits = torch.zeros(len(data.targets), data.num_classes) if out_of_fold is None else out_of_fold
    targets = data.one_hot
    right = (logits.argmax(1) == targets.argmax(1))[judged].double()
    accuracy = float(right.mean() if own is None else (right * own).sum() / own.sum())
    loss = log_loss(logits[judged], targets[judged], weights=own)
    return Member(name, [module.cpu().eval() for module in modules], factor, logits, loss, accuracy, detail)


def cost(data: Data, kind: str) -> float:
    """What a member costs, in products of a row with a weight matrix."""
    count, width = data.features.shape
    folds = len(data.fold_list)
    if kind == "linear probe":
        return folds * len(LINEAR_PENALTIES)
    if kind == "kernel probe":
        return folds * len(KERNEL_PENALTIES) * min(LANDMARKS, count) / width
    return 0.0


__all__ = ["Data", "KernelProbe", "Member"]
