"""Fit of the classifier's head: by cross-validation, by a convex fit, or by the training loop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from sklearn.utils import compute_class_weight
from torch import Tensor, nn

from .._checks import check_number
from .._random import tensor_generator
from ..heads import HEADS, AveragedHead, Head
from ..heads.convex import log_loss, temperature
from ..heads.convex_probes import class_probabilities, fit_kernel_probe, fit_linear_probe
from ..sweeping.choice import Choice, choose, default_grid, held_out
from ..training import fit
from .boundary import naming
from .procedure import FEW_ROWS, Data, Selection, decide, folds_of
from .rows import Rows
from .settings import head_settings, raised_epochs, trains_one
from .suspicion import suspect_training

_INITIALISATION = 3
_SELECTION_FRACTION = 0.2
_TRAINING = ("learning_rate", "weight_decay", "warmup")


class Fitted(NamedTuple):
    """The fitted head, its history, and the reason for its choice."""

    head: nn.Module
    history: list[dict[str, float]]
    selection: Selection | Choice | None
    explanation: str


def fit_rows(
    parameters: Mapping[str, Any],
    rows: Rows,
    num_classes: int,
    seed: int,
    device: torch.device,
    before: nn.Module | None,
) -> Fitted:
    """Fit the classifier's method on the rows; ``before`` is the head for a warm start."""
    if parameters["method"] in ("linear", "kernel"):
        return _convex(parameters, rows, num_classes, seed, device)
    if parameters["method"] == "nmtune" and not trains_one(parameters):
        return _decided(parameters, rows, num_classes, seed, device)
    return _one_head(parameters, rows, num_classes, seed, device, before)


def _convex(parameters: Mapping[str, Any], rows: Rows, num_classes: int, seed: int, device: torch.device) -> Fitted:
    linear = parameters["method"] == "linear"
    options: dict[str, Any] = {"num_classes": num_classes, "sample_weight": rows.weights, "seed": seed}
    options |= {"folds": folds_of(rows.targets, seed), "calibrate": parameters["calibrate"]}
    features = _features(rows, device)
    if linear:
        found = fit_linear_probe(features, rows.targets, normalize=parameters["normalize"], **options)
    else:
        found = fit_kernel_probe(features, rows.targets, standard_errors=0.0, **options)
    what = "logistic regression" if linear else "kernel logistic regression"
    why = f"{what} with penalty {found.penalty:g}, chosen by cross-validation (scikit-learn's C: "
    return Fitted(found.head.cpu(), [], None, f"{why}{1 / (found.penalty * len(rows.targets)):.3g}).")


def _decided(parameters: Mapping[str, Any], rows: Rows, num_classes: int, seed: int, device: torch.device) -> Fitted:
    rows, validation = _split(parameters, rows, seed)
    folds = folds_of(rows.targets, seed)
    data = Data(_features(rows, device), rows.targets, rows.weights, folds, num_classes, seed, parameters["calibrate"])
    settings = head_settings(parameters, rows.features.shape[1])
    training = {name: parameters[name] for name in ("epochs", "minimum_steps", *_TRAINING)}
    training["batch_size"] = _batch_size(parameters, settings)
    found = decide(data, settings, training, shown=bool(parameters["verbose"]), on_member=parameters["on_epoch"])
    history = found.history
    if validation is not None:
        with torch.no_grad():
            logits = found.head(validation[0])
        targets = class_probabilities(torch.from_numpy(validation[1]), num_classes).to(logits)
        right = float((logits.argmax(1) == targets.argmax(1)).double().mean())
        record = {"epoch": len(history) + 1, "validation_loss": log_loss(logits, targets), "validation_accuracy": right}
        history.append(record)
    return Fitted(found.head, history, found.selection, found.selection.explanation)


def _split(
    parameters: Mapping[str, Any], rows: Rows, seed: int
) -> tuple[Rows, tuple[Tensor, npt.NDArray[np.int64]] | None]:
    """The training rows, and the features and class ids of the rows that ``validation_fraction`` holds out."""
    fraction = check_number(parameters["validation_fraction"], "validation_fraction", minimum=0, maximum=1)
    if not fraction:
        return rows, None
    kept, out = held_out(rows.targets, fraction, seed)
    return rows.take(kept), (_features(rows.take(out), torch.device("cpu")), rows.targets[out])


def _one_head(
    parameters: Mapping[str, Any],
    rows: Rows,
    num_classes: int,
    seed: int,
    device: torch.device,
    before: nn.Module | None,
) -> Fitted:
    settings = head_settings(parameters, rows.features.shape[1])
    training = {name: parameters[name] for name in _TRAINING}
    choice = None
    if not trains_one(parameters) and len(rows.targets) >= FEW_ROWS:
        choice = _chosen(parameters, settings, rows, num_classes, seed, device)
        chosen = {name: value for name, value in choice.configuration.items() if name not in ("method", "warmup")}
        training |= {name: chosen.pop(name) for name in training if name in chosen}
        settings |= chosen
    width, kind = rows.features.shape[1], HEADS[parameters["method"]]
    generator = tensor_generator(seed, _INITIALISATION)
    head: Any = before
    if not isinstance(before, kind) or before.in_features != width or before.num_classes != num_classes:
        head = kind(width, num_classes, generator=generator, **settings)
    rows, validation = _split(parameters, rows, seed)
    batch_size = _batch_size(parameters, settings)
    result = fit(
        head,
        _features(rows, torch.device("cpu")),
        rows.targets,
        validation=validation,
        epochs=raised_epochs(parameters["epochs"], parameters["minimum_steps"], len(rows.targets), batch_size),
        batch_size=batch_size,
        **training,
        seed=seed,
        device=device,
        progress=bool(parameters["verbose"]),
        sample_weight=rows.weights,
        patience=parameters["patience"],
        on_epoch=parameters["on_epoch"],
    )
    suspect_training(result.history, num_classes)
    fitted = result.head.cpu().eval()
    why = f"One head with the given weights, {len(result.history)} epochs."
    if choice is not None:
        why = f"One head with {choice.configuration}, chosen on a fifth of the rows, {len(result.history)} epochs."
    if validation is not None and parameters["calibrate"]:
        fitted = _calibrated(fitted, *validation, num_classes)
    return Fitted(fitted, result.history, choice, why)


def _calibrated(head: Head, features: Tensor, targets: npt.NDArray[np.int64], num_classes: int) -> nn.Module:
    with torch.no_grad():
        logits = head(features)
    known = class_probabilities(torch.from_numpy(targets), num_classes).to(logits)
    return AveragedHead([head], factors=[temperature(logits, known)]).eval()


def _chosen(
    parameters: Mapping[str, Any],
    settings: dict[str, Any],
    rows: Rows,
    num_classes: int,
    seed: int,
    device: torch.device,
) -> Choice:
    """Choose the MLP's label smoothing and learning rate on a fifth of the rows."""
    entries = default_grid(parameters["method"])
    tried = {name for entry in entries for name in entry}
    fixed = {name: value for name, value in settings.items() if name not in tried}
    batch_size = _batch_size(parameters, settings)
    return choose(
        rows.features.shape[1],
        num_classes,
        _features(rows, torch.device("cpu")),
        rows.targets,
        grid=[{**fixed, **entry, "warmup": parameters["warmup"]} for entry in entries],
        fraction=_SELECTION_FRACTION,
        seed=seed,
        epochs=raised_epochs(parameters["epochs"], parameters["minimum_steps"], len(rows.targets), batch_size),
        batch_size=batch_size,
        device=device,
        sample_weight=rows.weights,
        progress=bool(parameters["verbose"]),
    )


def _batch_size(parameters: Mapping[str, Any], settings: Mapping[str, Any]) -> int:
    """The batch size, raised to the head's need: two rows for batch statistics, ``top_k`` for singular values."""
    return max(parameters["batch_size"], 2, settings.get("top_k", 1))


def _features(rows: Rows, device: torch.device) -> Tensor:
    return torch.from_numpy(rows.features.astype(np.float32, copy=False)).to(device)


def class_weights(
    class_weight: dict[Any, float] | str | None,
    classes: npt.NDArray[Any],
    targets: npt.NDArray[np.int64],
    sample_weight: npt.NDArray[Any] | None,
) -> npt.NDArray[np.float64] | None:
    """(K,) weights of the classes; ``"balanced"``: Σw / (K Σ_{y=k} w)."""
    if class_weight is None:
        return None
    if isinstance(class_weight, str) and class_weight == "balanced":
        mass = np.bincount(targets, weights=sample_weight, minlength=len(classes))
        return np.where(mass > 0, mass.sum() / (len(classes) * np.maximum(mass, 1e-300)), 0.0)
    with naming("`class_weight` must have a weight for each class"):
        weights = compute_class_weight(class_weight, classes=classes, y=classes[targets])
    return np.asarray(weights, dtype=np.float64)
