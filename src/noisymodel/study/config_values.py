"""Conversion of a configuration's values to their annotated types; an error is one line that names the key."""

from __future__ import annotations

import dataclasses
import difflib
import math
import numbers
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, cast, get_args, get_origin, get_type_hints

from ..errors import ConfigError

Config = TypeVar("Config")


def unknown_name(key: str, name: str, known: Sequence[str]) -> ConfigError:
    """The error for an unknown name, which suggests the nearest known one."""
    near = difflib.get_close_matches(name, known, 1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return ConfigError(f"config key `{key}`: expected one of {', '.join(map(repr, known))}, got {name!r}{hint}")


def demand_known(key: str, name: str, known: Iterable[str]) -> None:
    """Raise `unknown_name` unless the name is in a list."""
    names = list(known)
    if name not in names:
        raise unknown_name(key, name, names)


def demand(holds: bool, key: str, expected: str, got: object) -> None:
    """Raise a `ConfigError` unless the condition holds."""
    if not holds:
        raise ConfigError(f"config key `{key}`: expected {expected}, got {shown(got)}")


def shown(value: object) -> str:
    """A value for an error, on one line."""
    text = repr(value).replace("\n", " ")
    return text if len(text) <= 100 else text[:97] + "..."


class Least(NamedTuple):
    """The smallest allowed number, or element of a list that must not be empty."""

    least: float
    expected: str
    """For errors."""

    def allows(self, value: Any) -> bool:
        """Whether a value of the annotated type is within the limit."""
        numbers = value if isinstance(value, tuple) else (value,)
        return min(numbers, default=-math.inf) >= self.least


Positive = Annotated[int, Least(1, "a positive integer")]


def build(cls: type[Config], values: Mapping[str, Any], prefix: str) -> Config:
    """A dataclass from the keys of a configuration; errors name the key, after ``prefix``.

    Raises:
        ConfigError: an unknown or missing key, or a value of the wrong type or beyond its limit.
    """
    found = read(cls, values, prefix)
    for one in dataclasses.fields(cast(Any, cls)):
        if one.name not in values and one.default is one.default_factory is dataclasses.MISSING:
            raise ConfigError(f"config key `{prefix}{one.name}` is missing")
    return cls(**found)


def read(cls: type[Any], values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The converted values of some fields of a dataclass. A field may have its own ``"read"`` in its metadata.

    Raises:
        ConfigError: an unknown key, or a value of the wrong type or beyond its limit.
    """
    hints = get_type_hints(cls, include_extras=True)
    readers = {one.name: one.metadata["read"] for one in dataclasses.fields(cls) if "read" in one.metadata}
    found: dict[str, Any] = {}
    for key, value in values.items():
        if key not in hints:
            near = difflib.get_close_matches(str(key), hints, 1)
            hint = f"did you mean `{prefix}{near[0]}`?" if near else f"known keys: {', '.join(hints)}"
            raise ConfigError(f"config key `{prefix}{key}` is unknown; {hint}")
        own = readers.get(key)
        found[key] = own(value, prefix + key) if own else convert(value, hints[key], prefix + key)
    return found


def convert(value: Any, kind: Any, key: str) -> Any:
    """Convert ``value`` to the annotated type ``kind``, one of the few types in configurations, and check its limit."""
    if get_origin(kind) is Annotated:
        inner, limit = get_args(kind)
        value = convert(value, inner, key)
        demand(limit.allows(value), key, limit.expected, value)
        return value
    if get_origin(kind) is Literal:
        demand_known(key, convert(value, str, key), get_args(kind))
        return value
    if dataclasses.is_dataclass(kind):
        demand(isinstance(value, Mapping), key, "a table of keys", value)
        return build(kind, value, f"{key}.")  # pyright: ignore[reportArgumentType] # a dataclass type, as asked above
    if get_origin(kind) is tuple:
        element = get_args(kind)[0]
        value = _listed(value)
        demand(isinstance(value, list | tuple | range), key, f"a list of {_NOUNS.get(element, 'table')}s", value)
        return tuple(convert(item, element, f"{key}[{index}]") for index, item in enumerate(value))
    if get_origin(kind) is not None:  # Mapping[str, ...]
        element = get_args(kind)[1]
        demand(isinstance(value, Mapping), key, "a table of keys", value)
        return {str(name): convert(item, element, f"{key}.{name}") for name, item in value.items()}
    if kind is Any:
        return _plain(value, key)
    if kind in _PLAIN:
        demand(isinstance(value, kind), key, _PLAIN[kind], value)
        return value
    article = "an integer" if kind is int else "a number"
    known = numbers.Integral if kind is int else numbers.Real
    demand(isinstance(value, known) and value is not True and value is not False, key, article, value)
    if kind is int:
        demand(-(2**63) <= int(cast(Any, value)) < 2**63, key, "an integer of at most 64 bits", value)
        return int(cast(Any, value))
    demand(bool(abs(cast(Any, value)) <= sys.float_info.max), key, "a finite number", value)  # also of NaN
    return float(cast(Any, value))


def _listed(value: Any) -> Any:
    """Convert an array or tensor of one dimension to a list; other values do not change."""
    if getattr(value, "ndim", None) != 1:
        return value
    try:
        return value.tolist()
    except RuntimeError:  # a tensor without values
        return value


def _plain(value: Any, key: str) -> Any:
    """Convert a value to a type that JSON knows; arrays become lists."""
    if isinstance(value, Mapping):
        return {str(name): _plain(item, f"{key}.{name}") for name, item in cast(Mapping[Any, Any], value).items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        items = enumerate(cast("Sequence[Any]", value))
        return [_plain(item, f"{key}[{index}]") for index, item in items]
    if isinstance(value, float):
        demand(math.isfinite(value), key, "a finite number", value)
    demand(isinstance(value, str | int | float | None), key, "a value that JSON knows", value)
    return value


def check_types(config: Any, prefix: str) -> None:
    """Convert every field of a dataclass to its annotated type: lists become tuples, integers become floats.

    Raises:
        ConfigError: a value of another type or beyond its limit, or a number that is not finite.
    """
    for name, kind in get_type_hints(type(config), include_extras=True).items():
        value = getattr(config, name)
        if not dataclasses.is_dataclass(value):
            object.__setattr__(config, name, convert(value, kind, prefix + name))


_PLAIN: Mapping[Any, str] = {bool: "true or false", str: "a string"}
_NOUNS: Mapping[Any, str] = {int: "integer", float: "number", str: "string"}
