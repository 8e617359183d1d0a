"""The members that the classifier chooses from: two probes and NMTune heads, each evaluated out of fold."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from .._random import tensor_generator
from ..files.spilled import PIECE
from ..heads import FittedProbe, KernelProbe, LinearProbe, NMTune, fit_kernel_probe, fit_linear_probe
from ..heads.convex import log_loss, probabilities, temperature
from ..sweeping import train_heads

LINEAR, KERNEL, FREE = "linear probe", "kernel probe", "NMTune heads"
LANDMARKS = 1500
MOST_EPOCHS, MOST_STEPS = 10, 6000
_HEADS_OF_ONE = 3
_STARTS, _SEEDS = 20, 21

Step = Callable[[], object]


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
    def held(self) -> npt.NDArray[np.int64]:
        """(H,) the rows that a fold holds out."""
        return np.flatnonzero(self.folds >= 0)

    @property
    def judged(self) -> tuple[Tensor, Tensor | None]:
        """Class probabilities (H, K) and weights (H,) of the rows that a fold holds out."""
        held, device = self.held, self.features.device
        targets = probabilities(torch.from_numpy(self.targets[held]).to(device), self.num_classes, torch.float32)
        return targets, None if self.weights is None else torch.from_numpy(self.weights[held]).to(targets)

    def factor(self, logits: Tensor) -> float:
        """The factor that calibrates out-of-fold logits (H, K); 1 without ``calibrate``."""
        targets, weight = self.judged
        return temperature(logits, targets, weights=weight) if self.calibrate else 1.0

    def scores(self, logits: Tensor) -> tuple[float, float]:
        """Log-loss and accuracy of out-of-fold logits (H, K)."""
        targets, weight = self.judged
        right = (logits.argmax(1) == targets.argmax(1)).to(logits.dtype)
        accuracy = right.mean() if weight is None else (right * weight).sum() / weight.sum()
        return log_loss(logits, targets, weights=weight), float(accuracy)


class Member(NamedTuple):
    """Modules to be averaged, and their log-loss and accuracy on rows that they were not trained on.

    The modules' logits are to be multiplied by ``factor``; the logits ``out_of_fold`` (H, K) already are.
    """

    name: str
    modules: list[Any]
    factor: float
    out_of_fold: Tensor
    log_loss: float
    accuracy: float
    detail: dict[str, Any]


def linear_probe(data: Data, *, normalize: str | None = "l2", step: Step | None = None) -> FittedProbe[LinearProbe]:
    """Fit logistic regression with the strongest penalty within one standard error of the best."""
    return fit_linear_probe(data.features, data.targets, normalize=normalize, **_options(data, step))


def kernel_probe(data: Data, *, step: Step | None = None) -> FittedProbe[KernelProbe]:
    """Fit kernel logistic regression with the best penalty."""
    options = _options(data, step)
    return fit_kernel_probe(
        data.features, data.targets, landmarks=LANDMARKS, standard_errors=0.0, seed=data.seed, **options
    )


def _options(data: Data, step: Step | None) -> dict[str, Any]:
    return {
        "num_classes": data.num_classes,
        "folds": data.folds,
        "sample_weight": data.weights,
        "calibrate": data.calibrate,
        "progress": step,
    }


def probe_member(data: Data, name: str, step: Step) -> Member:
    """The linear or the kernel probe as a member."""
    found = linear_probe(data, step=step) if name == LINEAR else kernel_probe(data, step=step)
    out = torch.zeros_like(data.judged[0]) if found.out_of_fold is None else found.out_of_fold
    return _member(data, name, [found.head], 1.0, out, {"penalty": found.penalty})


def heads_member(data: Data, settings: Mapping[str, Any], training: Mapping[str, Any], step: Step) -> Member:
    """Train heads together, one on the rows outside each fold, and evaluate each on its fold.

    With a single fold, these are three heads with different seeds.
    """
    width, device, insides = data.features.shape[1], data.features.device, data.insides
    fewest = min(len(inside) for inside in insides)  # heads with the same number of rows are one batched model
    heads = [
        NMTune(width, data.num_classes, generator=tensor_generator(data.seed, _STARTS, number), **settings)
        for number in range(len(insides))
    ]
    train_heads(
        heads,
        data.features,
        data.targets,
        rows=[torch.from_numpy(inside[len(inside) - fewest :]) for inside in insides],
        seeds=[tensor_generator(data.seed, _SEEDS, number).initial_seed() for number in range(len(insides))],
        sample_weight=data.weights,
        device=device,
        on_epoch=lambda _: step(),
        **training,
    )
    held = torch.from_numpy(data.held)
    out = torch.zeros(len(held), data.num_classes, dtype=torch.float32, device=device)
    with torch.no_grad():
        for head, inside in zip(heads, insides, strict=True):
            for piece in torch.from_numpy(np.flatnonzero(~np.isin(data.held, inside))).split(PIECE):
                out[piece.to(device)] = head(data.features[held[piece].to(device)])
    factor = data.factor(out)
    return _member(data, FREE, heads, factor, out * factor, dict(training))


def epochs_of(data: Data, batch_size: int, epochs: int, minimum_steps: int) -> int:
    """The epochs, raised to at least ``minimum_steps`` steps and lowered to at most 6,000 (but at least one epoch)."""
    an_epoch = math.ceil(max(len(inside) for inside in data.insides) / batch_size)
    return max(1, min(max(epochs, math.ceil(minimum_steps / an_epoch)), MOST_STEPS // an_epoch))


def _member(
    data: Data, name: str, modules: Sequence[nn.Module], factor: float, out_of_fold: Tensor, detail: dict[str, Any]
) -> Member:
    loss, accuracy = data.scores(out_of_fold)
    return Member(name, [module.cpu().eval() for module in modules], factor, out_of_fold, loss, accuracy, detail)
