"""The classifier's arguments, checked, and translated to those of heads and training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_random_state

from .._checks import check_choice, check_device, check_flag, check_integer, check_number, devices_there
from ..heads import MLPProbe, NMTune, settings_of
from ..heads.nmtune import PRESETS, preset_arguments
from .reading import naming

METHODS = ("nmtune", "mlp", "linear", "kernel")
ARGUMENTS = {
    "nmtune": tuple(name for name in settings_of(NMTune) if name != "gather"),
    "mlp": tuple(name for name in settings_of(MLPProbe) if name not in ("gather", "input_noise")),
    "linear": (),
    "kernel": (),
}
"""Method -> those arguments of the classifier that its heads take; the plain network has no input noise."""
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
        given = preset_arguments(parameters["preset"], in_features, hidden_features=own["hidden_features"])
        own |= {name: given[name] for name in own if name in given}
        own["top_k"] = min(own["top_k"], in_features)
    if own.get("hidden_features", 0) is None:
        if parameters["method"] == "nmtune" and not trains_one(parameters):
            own["hidden_features"] = max(_NARROWEST, min(2 * in_features, _WIDEST_OF_FOLDS, _LAYER // in_features))
        elif 4 * in_features < _NARROWEST:
            own["hidden_features"] = _NARROWEST
    return own


def device_of(device: str | torch.device | None) -> torch.device:
    """The device to compute on; ``None``: a CUDA device if there is one, else the CPU.

    Raises:
        ValueError: for a device that does not exist.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    there = devices_there()
    try:
        found = check_device(device)
    except ValueError:  # a name that torch does not know
        found = None
    known = {*there, "cpu:0", *(torch.device(name).type for name in there)}
    if found is None or str(found) not in known:
        raise ValueError(f"`device` must be one that is there ({', '.join(there)}), got {device!r}")
    return found


def check_class_weight(class_weight: object) -> None:
    """Check ``class_weight``: ``None``, ``"balanced"`` or weights ≥ 0 of at least one class."""
    if class_weight is None or (isinstance(class_weight, str) and class_weight == "balanced"):
        return
    if not isinstance(class_weight, Mapping) or not class_weight:
        shown = " ".join(repr(class_weight).split())[:80]
        raise ValueError(
            f'`class_weight` must be None, "balanced" or a dictionary from classes to weights, got {shown}'
        )
    for weight in class_weight.values():
        check_number(weight, "class_weight", minimum=0)


def random_integer(random_state: Any) -> int:
    """Draw an integer below 2³¹ − 1 from a ``random_state``.

    Raises:
        ValueError: for a ``random_state`` that scikit-learn refuses.
    """
    with naming("`random_state` must be None, an integer in [0, 2**32) or a numpy.random.RandomState"):
        if isinstance(random_state, bool):
            raise TypeError(f"got {random_state}")
        return int(check_random_state(random_state).randint(2**31 - 1))
