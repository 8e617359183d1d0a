"""One field of a sample, whatever the sample is: read, and replaced in a copy."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, TypeAlias, cast

import numpy as np
import torch

from .._checks import check_integer

Name: TypeAlias = str | int
"""The key of a dictionary, or the index of a tuple."""

Sample: TypeAlias = Any


IN_TUPLES = {"label": -1, "image": 0, "text": 1}
"""Where a tuple has what a dictionary has under this key, unless the caller says another place."""


def check_name(name: object, argument: str) -> None:
    """A dictionary's key, or a tuple's index."""
    if not isinstance(name, str | int) or isinstance(name, bool):
        raise TypeError(f"`{argument}` must be a dictionary's key (str) or a tuple's index (int), got {name!r}")


def place_of(sample: Sample, name: Name, argument: str) -> Name:
    """The key or index of a field; a tuple has no keys, but places that are usual, and perhaps names."""
    if isinstance(name, str) and isinstance(sample, tuple | list):
        fields: tuple[str, ...] = getattr(sample, "_fields", ())
        return fields.index(name) if name in fields else IN_TUPLES.get(argument, name) if name == argument else name
    return name


def read_field(sample: Sample, name: Name, argument: str) -> Any:
    """The field of a dictionary, tuple or list; ``argument`` is what the caller calls the name."""
    name = place_of(sample, name, argument)
    if isinstance(sample, Mapping):
        if name not in sample:
            known = ", ".join(repr(key) for key in cast("Mapping[Any, Any]", sample))
            raise ValueError(f"`{argument}` must be one of the keys of a sample, {known}; got {name!r}")
        return sample[name]
    if not isinstance(sample, tuple | list):
        raise TypeError(f"samples must be dictionaries, tuples or lists, got {type(sample).__name__}")
    size = len(cast("list[Any]", sample))
    if not isinstance(name, int) or not -size <= name < size:
        raise ValueError(
            f"`{argument}` must be an index of a sample, which is a {type(sample).__name__} of {size}; got {name!r}"
        )
    return sample[name]


def replace_field(sample: Sample, name: Name, argument: str, value: Any) -> Sample:
    """A copy of the sample (its other fields shared) with another value."""
    name = place_of(sample, name, argument)
    if isinstance(sample, Mapping):
        changed: Any = dict(cast("Mapping[Any, Any]", sample)) if type(sample) is dict else copy.copy(sample)
        changed[name] = value
        return changed
    values = list(cast("list[Any]", sample))
    values[cast(int, name)] = value
    if isinstance(sample, list):
        return values
    return type(sample)(*values) if hasattr(sample, "_fields") else tuple(values)


def class_of(value: Any) -> int:
    """The class that a label says: an integer of any kind, a tensor of one number, or its decimal text (str, bytes)."""
    if isinstance(value, torch.Tensor | np.ndarray):
        if value.size != 1 if isinstance(value, np.ndarray) else value.numel() != 1:
            raise TypeError(f"a label must be one class index, got shape {tuple(value.shape)}")
        return check_integer(value.item(), "label")
    if isinstance(value, str | bytes):
        try:
            return int(value)
        except ValueError:
            raise TypeError(f"a label must be a class index, got {value!r}") from None
    return check_integer(value, "label")


def as_label(value: Any, noisy: Any) -> Any:
    """The noisy label as the clean one was: its kind, dtype and device."""
    if isinstance(value, torch.Tensor):
        return torch.as_tensor(noisy, device=value.device).to(value.dtype).reshape(value.shape)
    if isinstance(value, np.ndarray):
        return np.asarray(noisy, dtype=value.dtype).reshape(value.shape)
    if isinstance(value, np.generic):
        return value.dtype.type(noisy)
    if isinstance(value, bytes):
        return str(int(noisy)).encode()
    if isinstance(value, list):
        return np.asarray(noisy).tolist()
    return type(value)(noisy)
