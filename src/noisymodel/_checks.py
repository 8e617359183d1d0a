"""Checks of arguments at the public boundary: the argument in backticks, expected, got, and the cure if known."""

from __future__ import annotations

import math
import operator
import sys
import warnings
from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet
from decimal import Decimal
from numbers import Real
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

Array: TypeAlias = npt.NDArray[Any] | torch.Tensor

_FLAGS = (bool, np.bool_)  # not a union: torch.compile reads unions since torch 2.7 only
_INTEGERS = 2**63  # integers of this size or more fit no tensor
_KINDS = {"b": "booleans", "i": "integers", "u": "integers", "f": "floating point"}


def check_flag(value: object, name: str) -> bool:
    """True or False, and nothing that is merely true: "False" is no boolean."""
    if isinstance(value, _FLAGS):
        return bool(value)
    raise TypeError(f"`{name}` must be True or False, got {_shown(value)}")


def check_seed(seed: object, name: str = "seed") -> int:
    """An integer in [0, 2**63)."""
    value = _integer(seed, name)
    if not 0 <= value < _INTEGERS:
        raise ValueError(f"`{name}` must be in [0, 2**63), got {value}")
    return value


def check_integer(value: object, name: str, *, minimum: int | None = None, maximum: int = _INTEGERS - 1) -> int:
    """An integer of 64 bits (no bool), in [minimum, maximum]."""
    number = _integer(value, name)
    if minimum is not None and number < minimum:
        raise ValueError(f"`{name}` must be at least {minimum}, got {number}")
    if number > maximum or number < -_INTEGERS:
        bounds = f"at most {maximum}" if number > maximum else "at least -2**63"
        raise ValueError(f"`{name}` must be {bounds}, got {number}")
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
    plain = _scalar(value)
    if not isinstance(plain, Real | Decimal):
        raise TypeError(f"`{name}` must be a number, got {_shown(value)}")
    try:
        number = float(plain)
    except (OverflowError, ValueError):  # an integer beyond the largest float, a signalling NaN
        number = math.inf
    low = number <= minimum if exclusive_minimum else number < minimum
    if not math.isfinite(number) or low or number > maximum:
        bracket = "(" if exclusive_minimum or minimum == -math.inf else "["
        close = ")" if maximum == math.inf else "]"
        raise ValueError(f"`{name}` must be in {bracket}{minimum:g}, {maximum:g}{close}, got {_shown(value)}")
    return number


def check_choice(value: object, name: str, choices: Collection[object]) -> None:
    """One of ``choices``."""
    if not any(value is choice or (isinstance(value, type(choice)) and value == choice) for choice in choices):
        listed = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"`{name}` must be one of {listed}, got {_shown(value)}")


def check_text(value: object, name: str) -> str:
    """A str."""
    if not isinstance(value, str):
        raise TypeError(f"`{name}` must be a str, got {_shown(value)}")
    return value


def check_path(value: object, name: str) -> Path:
    """A path, given as text or as a `Path`."""
    if not isinstance(value, str | Path) or not str(value) or "\0" in str(value):
        raise TypeError(f"`{name}` must be a path (str or Path), got {_shown(value)}")
    return Path(value)


def check_device(device: object, name: str = "device") -> torch.device | None:
    """A device that torch knows, or None."""
    if device is None or isinstance(device, torch.device):
        return device
    if not isinstance(device, str):
        raise TypeError(f"`{name}` must be a torch.device or its name, got {_shown(device)}")
    try:
        return torch.device(device)
    except RuntimeError:
        raise ValueError(f'`{name}` must be the name of a device, such as "cpu" or "cuda:0", got {device!r}') from None


def devices_there() -> list[str]:
    """The names of this machine's devices."""
    there = ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
    return [*there, "mps"] if torch.backends.mps.is_available() else there


def check_generator(generator: object, name: str = "generator") -> torch.Generator | None:
    """A torch generator on the CPU, or None."""
    if generator is None:
        return None
    if not isinstance(generator, torch.Generator):
        raise TypeError(f"`{name}` must be a torch.Generator, got {_shown(generator)}")
    if generator.device.type != "cpu":
        raise ValueError(f"`{name}` must be on the CPU, where the numbers are drawn, got {generator.device}")
    return generator


def check_callable(function: object, name: str) -> None:
    """A function, or another thing that can be called."""
    if not callable(function):
        raise TypeError(f"`{name}` must be callable, got {_shown(function)}")


def check_unmasked(values: object, name: str) -> None:
    """No masked array with masked values, which numpy would take as they lie below the mask."""
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        masked = int(np.ma.count_masked(values))
        raise TypeError(f"`{name}` must not hold masked values, got {masked}; .compressed() drops them")


def check_sequence(values: object, name: str, what: str) -> None:
    """Something with a length and places: a list, a tuple, an array, a column of a table."""
    plain = hasattr(values, "__getitem__") and hasattr(values, "__len__") and getattr(values, "ndim", 1) > 0
    if not plain or isinstance(values, str | bytes | Mapping | AbstractSet) or hasattr(values, "toarray"):
        raise TypeError(f"`{name}` must be a sequence of {what}, got {_shown(values)}")
    if isinstance(values, torch.Tensor):
        check_strided(values, name)


def check_array(values: object, name: str, *, kinds: str = "iuf", expected: str = "", detach: bool = True) -> Array:
    """An array of numbers with the dtype, shape and device that it was given with; numpy makes it of a sequence.

    Args:
        values: what the caller gave.
        name: of the argument.
        kinds: numpy's letters of the kinds that are welcome: "b", "iu", "f", and "US" for text.
        expected: what the error says of them.
        detach: whether a tensor is taken out of its graph.

    Raises:
        TypeError: another kind (text, complex, objects), masked values, sparse or meta tensors, iterators, sets.
    """
    wanted = expected or " or ".join(dict.fromkeys(_KINDS[kind] for kind in kinds))
    if isinstance(values, torch.Tensor):
        tensor = check_strided(values, name)
        kind = "c" if tensor.is_complex() else "f" if tensor.is_floating_point() else "iu"
        kind = "b" if tensor.dtype == torch.bool else kind
        if kind[0] not in kinds:
            raise TypeError(f"`{name}` must be {wanted}, got {tensor.dtype}; convert it explicitly")
        return tensor.detach() if detach else tensor
    array = _numpy(values, name)
    if "U" in kinds and array.dtype.kind == "O" and all(isinstance(one, str) for one in array.flat):
        array = array.astype(str)
    if array.dtype.kind not in kinds and array.size:
        odd = [one for one in array.flat if type(one) is not int] if array.dtype.kind == "O" else []
        got = f"object, with {_shown(odd[0])} in it" if odd else f"{array.dtype}"
        text = array.dtype.kind in "US" or isinstance(next(iter(odd), None), str)
        numbered = f"np.unique({name}, return_inverse=True)[1] numbers them"
        cure = numbered if text and kinds == "iu" else "convert it explicitly"
        raise TypeError(f"`{name}` must be {wanted}, got {got}; {cure}")
    return array


def check_strided(tensor: object, name: str) -> torch.Tensor:
    """A tensor whose numbers lie in memory: neither sparse, nor nested, nor quantized, nor on the device "meta"."""
    if not isinstance(tensor, torch.Tensor):
        raise TypeError(f"`{name}` must be a torch tensor, got {type(tensor).__name__}; torch.as_tensor makes one")
    if tensor.is_nested or tensor.layout != torch.strided:
        raise TypeError(f"`{name}` must be a dense tensor, got layout {tensor.layout}; .to_dense() converts")
    if tensor.device.type == "meta":
        raise TypeError(f'`{name}` must hold numbers, got a tensor on the device "meta", which has none')
    if tensor.is_quantized:
        raise TypeError(f"`{name}` must not be quantized, got {tensor.dtype}; .dequantize() converts")
    return tensor


def check_rows(features: object, name: str = "features", *, num_features: int | None = None) -> torch.Tensor:
    """A floating-point tensor of shape (..., D)."""
    features = check_strided(features, name)
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


def check_attention(mask: object, name: str, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """A mask of 0 and 1 of a shape, as bool."""
    given = check_array(mask, name, kinds="biuf", expected="0 and 1")
    array = given.cpu().to(torch.float64).numpy() if isinstance(given, torch.Tensor) else given
    if array.shape != shape:
        raise ValueError(f"`{name}` must have shape {shape}, got {array.shape}")
    wrong = (array != 0) & (array != 1)  # NaN is neither
    if wrong.any():
        raise ValueError(f"`{name}` must hold 0 (padding) and 1 (token), got {array[wrong][0]}")
    return array != 0


def warn_caller(message: str, category: type[Warning]) -> None:
    """Warn at the line that called the library."""
    frame, level = sys._getframe(1), 2  # pyright: ignore[reportPrivateUsage] # warnings of Python 3.12 skip files
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "noisymodel":
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def _integer(value: object, name: str) -> int:
    try:
        return operator.index(_scalar(value))  # pyright: ignore[reportArgumentType] # that it may fail is the point
    except TypeError:
        raise TypeError(f"`{name}` must be an integer, got {_shown(value)}") from None


def _scalar(value: object) -> object:
    """A number out of an array or tensor of no dimensions; None for a bool, text, or a masked value."""
    if isinstance(value, torch.Tensor):
        if value.ndim or value.device.type == "meta" or value.layout != torch.strided:
            return None
        value = value.item()
    elif isinstance(value, np.ndarray):
        if value.ndim or isinstance(value, np.ma.MaskedArray):
            return None
        value = value.item()
    return None if isinstance(value, bool | np.bool_ | str | bytes | np.complexfloating | np.datetime64) else value


def _numpy(values: object, name: str) -> npt.NDArray[Any]:
    check_unmasked(values, name)
    if isinstance(values, np.ndarray):
        return np.asarray(values)
    is_sequence = (
        isinstance(values, Real)
        or hasattr(values, "__array__")
        or (hasattr(values, "__getitem__") and hasattr(values, "__len__"))
    )
    if not is_sequence or isinstance(values, str | bytes | Mapping | AbstractSet):
        cure = "; list(...) makes one" if hasattr(values, "__iter__") and not isinstance(values, str | bytes) else ""
        cure = "; .toarray() makes one" if hasattr(values, "toarray") else cure
        raise TypeError(f"`{name}` must be an array or a sequence, got {type(values).__name__}{cure}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # numpy makes NaN of a masked element
            array = np.asarray(values)
    except Exception as error:
        reason = " ".join(str(error).split())
        raise TypeError(
            f"`{name}` must be an array or a sequence of numbers, got {type(values).__name__} ({reason})"
        ) from None
    return array


def _shown(value: object) -> str:
    """A value in an error: short, with its type where the text does not tell it."""
    if isinstance(value, str | bool | None):
        text = repr(value)
        return text if len(text) < 100 else f"{text[:80]}… ({len(text)} characters)"
    if isinstance(value, torch.Tensor | np.ndarray):
        return f"{type(value).__name__} of {value.dtype} and shape {tuple(value.shape)}"
    if isinstance(value, int | float) and type(value) in (int, float) and abs(value) < 10**30:
        return repr(value)
    text = " ".join(repr(value).split())
    return f"{text if len(text) < 100 else text[:80] + '…'} ({type(value).__name__})"
