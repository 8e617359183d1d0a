"""Checks of the classifier's arguments; errors of scikit-learn get the name of the argument."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from sklearn.utils import check_random_state
from torch import Tensor

from .._checks import check_array, check_number, check_strided, check_unmasked


@contextmanager
def naming(expected: str) -> Generator[None]:
    """Put ``expected``, which names the argument, before the messages of other libraries' errors; keep their type."""
    try:
        yield
    except (ValueError, TypeError, RuntimeError, ArithmeticError, AttributeError, LookupError) as error:
        if "`" in str(error):
            raise
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{expected}: {error}") from error


def check_readable(values: object, name: str, *, text: bool) -> None:
    """Refuse masked arrays, tensors that are sparse, nested or without values, and text unless ``text`` allows it."""
    check_unmasked(values, name)
    if isinstance(values, Tensor):
        check_strided(values, name)
        return
    if text:
        return
    kind = getattr(getattr(values, "dtype", None), "kind", "")
    if kind in ("U", "S") or isinstance(values, str | bytes):
        raise TypeError(f"`{name}` must be numbers, got text; convert it explicitly")
    if kind == "O" or isinstance(values, list | tuple):
        with naming(f"`{name}` must be features (N, D)"):
            plain = np.asarray(values)
        if plain.dtype.kind in "US" or any(isinstance(one, str | bytes) for one in _objects(plain)):
            raise TypeError(f"`{name}` must be numbers, got text; convert it explicitly")


def _objects(values: Any) -> Any:
    return values.flat if values.dtype.kind == "O" else ()


def check_weights(sample_weight: object) -> None:
    """Check the weights of rows: an array of numbers, or one number for all."""
    if isinstance(sample_weight, bool | np.bool_):
        raise TypeError(f"`sample_weight` must be numbers ≥ 0, got {sample_weight!r}")
    check_array(sample_weight, "sample_weight", kinds="biuf", expected="numbers ≥ 0")


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
