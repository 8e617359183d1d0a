"""The classifier's arguments, checked, and translated to those of heads and training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from .._checks import check_choice, check_device, check_flag, check_integer, devices_there
from ..heads import MLPProbe, NMTune, settings_of
from ..heads.nmtune import PRESETS, preset_arguments
from .boundary import check_class_weight

METHODS = ("nmtune", "mlp", "linear", "kernel")
ARGUMENTS = {
    "nmtune": tuple(name for name in settings_of(NMTune) if name != "gather"),
    "mlp": tuple(name for name in settings_of(MLPProbe) if name not in ("gather", "input_noise")),
    "linear": (),
    "kernel": (),
}
"""Method -> those arguments of the classifier that its heads take; the plain network has no input noise."""
MOST_SMALL_EPOCHS = 100
_NARROWEST, _WIDEST_OF_FOLDS, _LAYER = 64, 1024, 600_000


def check_settings(parameters: Mapping[str, Any]) -> None:
    """Check the arguments of `NMTuneClassifier` that heads and training do not check."""
    method, preset = parameters["method"], parameters["preset"]
    check_choice(method, "method", METHODS)
    check_choice(parameters["weights"], "weights", ("auto", "fixed"))
    check_integer(parameters["batch_size"], "batch_size", minimum=1)
    check_integer(parameters["epochs"], "epochs", minimum=1)
    check_integer(parameters["minimum_steps"], "minimum_steps", minimum=0)
    for name in ("calibrate", "warm_start", "residual"):
        check_flag(parameters[name], name)
    if not isinstance(parameters["verbose"], bool | np.bool_):
        check_integer(parameters["verbose"], "verbose", minimum=0)
    check_class_weight(parameters["class_weight"])
    if preset is not None:
        check_choice(preset, "preset", PRESETS)
        if method != "nmtune":
            raise ValueError(f'`preset` is for method="nmtune", got {preset!r} with method={method!r}')
    if parameters["patience"] is not None and method == "nmtune" and not trains_one(parameters):
        raise ValueError(f'`patience` needs weights="fixed", got {parameters["patience"]!r} with weights="auto"')


def trains_one(parameters: Mapping[str, Any]) -> bool:
    """Whether one head with the given weights is trained."""
    return parameters["weights"] == "fixed" or parameters["preset"] is not None


def head_settings(parameters: Mapping[str, Any], in_features: int) -> dict[str, Any]:
    """The keywords of the head: at least 64 hidden features, and a preset's ``top_k`` at most D."""
    own = {name: parameters[name] for name in ARGUMENTS[parameters["method"]]}
    if parameters["preset"] is not None:
        own |= {name: PRESETS[parameters["preset"]].get(name, own[name]) for name in own}
        own["hidden_features"] = preset_arguments(
            parameters["preset"], in_features, hidden_features=own["hidden_features"]
        )["hidden_features"]
        own["top_k"] = min(own["top_k"], in_features)
    if own.get("hidden_features", 0) is None:
        if parameters["method"] == "nmtune" and not trains_one(parameters):
            own["hidden_features"] = max(_NARROWEST, min(2 * in_features, _WIDEST_OF_FOLDS, _LAYER // in_features))
        elif 4 * in_features < _NARROWEST:
            own["hidden_features"] = _NARROWEST
    return own


def raised_epochs(epochs: int, minimum_steps: int, rows: int, batch_size: int) -> int:
    """The epochs, raised to ``minimum_steps`` steps, but not beyond 100."""
    needed = math.ceil(minimum_steps / math.ceil(rows / batch_size))
    return max(epochs, min(needed, MOST_SMALL_EPOCHS))


def device_of(device: str | torch.device | None) -> torch.device:
    """The device to compute on; ``None``: a CUDA device if there is one, else the CPU.

    Raises:
        ValueError: for a device that does not exist.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not isinstance(device, str):
        check_device(device)
    there = devices_there()
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError):
        found = None
    known = {*there, "cpu:0", *(torch.device(name).type for name in there)}
    if found is None or str(found) not in known:
        raise ValueError(f"`device` must be one that is there ({', '.join(there)}), got {device!r}")
    return found
