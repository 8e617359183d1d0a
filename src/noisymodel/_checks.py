"""Checks of arguments at the public boundary: the argument in backticks, expected, got, and the cure if known."""

from __future__ import annotations

import math
import operator
from collections.abc import Collection

import numpy as np
import torch


def check_seed(seed: object, name: str = "seed") -> int:
    """An integer in [0, 2**63)."""
    value = check_integer(seed, name)
    if not 0 <= value < 2**63:
        raise ValueError(f"`{name}` must be in [0, 2**63), got {value}")
    return value


def check_integer(value: object, name: str, *, minimum: int | None = None) -> int:
    """An integer (a bool is none), at least ``minimum``."""
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"`{name}` must be an integer, got {value!r}")
    try:
        number = operator.index(value)  # pyright: ignore[reportArgumentType] # that it may fail is the point
    except TypeError:
        raise TypeError(f"`{name}` must be an integer, got {value!r} ({type(value).__name__})") from None
    if minimum is not None and number < minimum:
        raise ValueError(f"`{name}` must be at least {minimum}, got {number}")
    return number


def check_number(
    value: object,
    name: str,
    *,
    minimum: float = -math.inf,
    maximum: float = math.inf,
    exclusive_minimum: bool = False,
) -> float:
    """A finite real number in [minimum, maximum] (or (minimum, maximum])."""
    if isinstance(value, (bool, str, bytes)):
        raise TypeError(f"`{name}` must be a number, got {value!r}")
    try:
        number = float(value)  # pyright: ignore[reportArgumentType] # that it may fail is the point
    except (TypeError, ValueError):
        raise TypeError(f"`{name}` must be a number, got {value!r} ({type(value).__name__})") from None
    low = number <= minimum if exclusive_minimum else number < minimum
    if not math.isfinite(number) or low or number > maximum:
        bracket = "(" if exclusive_minimum or minimum == -math.inf else "["
        close = ")" if maximum == math.inf else "]"
        raise ValueError(f"`{name}` must be in {bracket}{minimum:g}, {maximum:g}{close}, got {value!r}")
    return number


def check_choice(value: object, name: str, choices: Collection[object]) -> None:
    """One of ``choices``; what cannot be hashed or compared is none."""
    try:
        known = value in choices
    except (TypeError, ValueError):
        known = False
    if not known:
        listed = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"`{name}` must be one of {listed}, got {value!r}")


def check_rows(features: object, name: str = "features", *, num_features: int | None = None) -> torch.Tensor:
    """A floating-point tensor of shape (..., D)."""
    if not isinstance(features, torch.Tensor):
        raise TypeError(f"`{name}` must be a torch tensor, got {type(features).__name__}; torch.as_tensor makes one")
    if not features.is_floating_point():
        raise TypeError(f"`{name}` must be floating point, got {features.dtype}; .float() converts")
    if features.ndim < 1 or (num_features is None and features.ndim < 2):
        raise ValueError(f"`{name}` must have shape (..., D) with rows, got {tuple(features.shape)}")
    if features.shape[-1] == 0:
        raise ValueError(f"`{name}` must have at least one feature, got shape {tuple(features.shape)}")
    if num_features is not None and features.shape[-1] != num_features:
        raise ValueError(
            f"`{name}` must have {num_features} features in the last dimension, got shape {tuple(features.shape)}"
        )
    return features
