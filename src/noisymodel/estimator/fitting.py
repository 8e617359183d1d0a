"""Fit of the classifier's head: by cross-validation, by a convex fit, or by the training loop."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from .._checks import check_number
from .._random import tensor_generator
from ..files.spilled import taken
from ..heads import HEADS, AveragedHead
from ..heads.convex import log_loss, probabilities, temperature
from ..sweeping import Choice, choose, default_grid
from ..training import fit, held_out
from .members import Data, kernel_probe, linear_probe
from .procedure import FEW_ROWS, Fitted, decide, folds_of
from .rows import Rows
from .settings import head_settings, trains_one
from .suspicion import suspect_training

_INITIALISATION = 3
_SELECTION_FRACTION = 0.2
_TRAINING = ("learning_rate", "weight_decay", "warmup")
_MOST_SMALL_EPOCHS = 100

Validation = tuple[Tensor, npt.NDArray[np.int64]]


class Task(NamedTuple):
    """What is fitted: the classifier's parameters, the rows, and what fixes the computation."""

    parameters: Mapping[str, Any]
    rows: Rows
    num_classes: int
    seed: int
    device: torch.device

    @property
    def settings(self) -> dict[str, Any]:
        """The keywords of the head."""
        return head_settings(self.parameters, self.rows.features.shape[1])

    @property
    def batch_size(self) -> int:
        """The batch size, raised to the head's need: two rows for batch statistics, ``top_k`` for singular values."""
        return max(self.parameters["batch_size"], 2, self.settings.get("top_k", 1))

    @property
    def epochs(self) -> int:
        """The epochs, raised to ``minimum_steps`` steps, but not beyond 100."""
        needed = math.ceil(self.parameters["minimum_steps"] / math.ceil(len(self.rows.targets) / self.batch_size))
        return max(self.parameters["epochs"], min(needed, _MOST_SMALL_EPOCHS))

    def data(self) -> Data:
        """The rows in folds, on the device."""
        rows, folds = self.rows, folds_of(self.rows.targets, self.seed)
        features = _tensor(rows).to(self.device)
        calibrate = self.parameters["calibrate"]
        return Data(features, rows.targets, rows.weights, folds, self.num_classes, self.seed, calibrate)

    def split(self) -> tuple[Task, Validation | None]:
        """The same with the training rows, and the rows that ``validation_fraction`` holds out."""
        fraction = check_number(self.parameters["validation_fraction"], "validation_fraction", minimum=0, maximum=1)
        if not fraction:
            return self, None
        kept, out = held_out(self.rows.targets, fraction, self.seed)
        return self._replace(rows=self.rows.take(kept)), (_tensor(self.rows.take(out)), self.rows.targets[out])


def fit_rows(task: Task, before: nn.Module | None) -> Fitted:
    """Fit the classifier's method on the rows; ``before`` is the head for a warm start."""
    if task.parameters["method"] in ("linear", "kernel"):
        return _convex(task)
    if task.parameters["method"] == "nmtune" and not trains_one(task.parameters):
        return _decided(task)
    return _one_head(task, before)


def _convex(task: Task) -> Fitted:
    if task.parameters["method"] == "linear":
        found, what = linear_probe(task.data(), normalize=task.parameters["normalize"]), "logistic regression"
    else:
        found, what = kernel_probe(task.data()), "kernel logistic regression"
    strength = 1 / (found.penalty * len(task.rows.targets))
    why = f"{what} with penalty {found.penalty:g}, chosen by cross-validation (scikit-learn's C: {strength:.3g})."
    return Fitted(found.head.cpu(), [], None, why)


def _decided(task: Task) -> Fitted:
    parameters = task.parameters
    task, validation = task.split()
    training = {name: parameters[name] for name in ("epochs", "minimum_steps", *_TRAINING)}
    training["batch_size"] = task.batch_size
    shown = bool(parameters["verbose"])
    found = decide(task.data(), task.settings, training, shown=shown, on_member=parameters["on_epoch"])
    if validation is not None:
        logits, targets = _answers(found.head, validation, task.num_classes)
        right = float((logits.argmax(1) == targets.argmax(1)).double().mean())
        record = {"epoch": len(found.history) + 1, "validation_loss": log_loss(logits, targets)}
        found.history.append({**record, "validation_accuracy": right})
    return found


def _one_head(task: Task, before: nn.Module | None) -> Fitted:
    parameters, settings = task.parameters, task.settings
    training = {name: parameters[name] for name in _TRAINING}
    choice = None
    if not trains_one(parameters) and len(task.rows.targets) >= FEW_ROWS:
        choice = _chosen(task)
        training |= {name: choice.configuration[name] for name in training if name in choice.configuration}
        settings |= {name: choice.configuration[name] for name in settings if name in choice.configuration}
    width, kind = task.rows.features.shape[1], HEADS[parameters["method"]]
    head: Any = before
    if not isinstance(before, kind) or before.in_features != width or before.num_classes != task.num_classes:
        head = kind(width, task.num_classes, generator=tensor_generator(task.seed, _INITIALISATION), **settings)
    task, validation = task.split()
    result = fit(
        head,
        _tensor(task.rows),
        task.rows.targets,
        validation=validation,
        epochs=task.epochs,
        batch_size=task.batch_size,
        **training,
        seed=task.seed,
        device=task.device,
        progress=bool(parameters["verbose"]),
        sample_weight=task.rows.weights,
        patience=parameters["patience"],
        on_epoch=parameters["on_epoch"],
    )
    suspect_training(result.history, task.num_classes)
    fitted: nn.Module = result.head.cpu().eval()
    what = "the given weights" if choice is None else f"{_told(choice)}, chosen on a fifth of the rows"
    why = f"One head with {what}, {len(result.history)} epochs."
    if validation is not None and parameters["calibrate"]:
        factor = temperature(*_answers(fitted, validation, task.num_classes))
        fitted = AveragedHead([result.head], factors=[factor]).eval()
    return Fitted(fitted, result.history, choice, why)


def _chosen(task: Task) -> Choice:
    """Choose the MLP's label smoothing and learning rate on a fifth of the rows."""
    entries = default_grid(task.parameters["method"])
    tried = {name for entry in entries for name in entry}
    fixed = {name: value for name, value in task.settings.items() if name not in tried}
    return choose(
        task.rows.features.shape[1],
        task.num_classes,
        _tensor(task.rows),
        task.rows.targets,
        grid=[{**fixed, **entry, "warmup": task.parameters["warmup"]} for entry in entries],
        fraction=_SELECTION_FRACTION,
        seed=task.seed,
        epochs=task.epochs,
        batch_size=task.batch_size,
        device=task.device,
        sample_weight=task.rows.weights,
        progress=bool(task.parameters["verbose"]),
    )


def _told(choice: Choice) -> str:
    """What the choice was between: "label smoothing 0.1 and learning rate 0.003"."""
    numbers = {name: choice.configuration[name] for name in ("label_smoothing", "learning_rate")}
    return " and ".join(f"{name.replace('_', ' ')} {number:g}" for name, number in numbers.items())


def _answers(head: nn.Module, validation: Validation, num_classes: int) -> tuple[Tensor, Tensor]:
    """Logits and class probabilities (N, K) of held-out rows."""
    with torch.no_grad():
        logits: Tensor = head(validation[0])
    return logits, probabilities(torch.from_numpy(validation[1]), num_classes, logits.dtype)


def _tensor(rows: Rows) -> Tensor:
    single = rows.features.dtype == np.float32
    return torch.from_numpy(rows.features if single else taken(rows.features, np.arange(len(rows.targets)), np.float32))
