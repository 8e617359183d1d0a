"""The methods that a study may run: those of the tables, and the variants that a configuration defines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from ...errors import ConfigError
from ..config import StudyConfig
from ..config_values import demand, demand_known
from ..rows import FEATURES, PRETRAINING, MethodNote
from .ablation import ABLATIONS, FULL
from .base import Method
from .finetuning import IN_THE_NETWORK
from .frozen import ON_FEATURES, OTHERS

ALIASES: Mapping[str, str] = MappingProxyType({"linear_adamw": "linear_probe"})
"""Alias -> method."""
ALL_METHODS: Mapping[str, Method] = MappingProxyType({**ON_FEATURES, **OTHERS, **IN_THE_NETWORK})
KNOWN: Mapping[str, Method] = MappingProxyType({**ALL_METHODS, **ABLATIONS})
"""Every method that a configuration may name."""

GROUPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "default": tuple(ON_FEATURES),
        "neighbours": tuple(OTHERS),
        "whitebox": tuple(IN_THE_NETWORK),
        "all": tuple(ALL_METHODS),
        "ablation": (FULL, *ABLATIONS),
    }
)
"""Names that stand for several methods in a configuration."""


def chosen_methods(config: StudyConfig) -> dict[str, Method]:
    """The methods that a configuration names, in the table's order, with its settings; by default `ON_FEATURES`.

    Its variants follow, each with its own settings in place of those in the table.

    Raises:
        ConfigError: an unknown method or setting, or a variant whose name is taken.
        MissingExtraError: a method needs a package that is not installed.
    """
    wanted = expanded(config.methods or ("default",))
    names = [name for name in KNOWN if name in wanted]
    options = {ALIASES.get(name, name): given for name, given in config.method_options.items()}
    for name in options:
        demand_known("method_options", name, names)
    methods = {name: _with_options(KNOWN[name], options.get(name, {}), f"method_options.{name}") for name in names}
    methods |= {name: _variant(name, dict(given)) for name, given in config.variants.items()}
    for method in methods.values():
        method.check_packages()
    return methods


def expanded(names: Iterable[str]) -> set[str]:
    """Replace names of groups by their methods.

    Raises:
        ConfigError: there is no such method or group.
    """
    found: set[str] = set()
    for name in (ALIASES.get(name, name) for name in names):
        demand_known("methods", name, [*KNOWN, *GROUPS])
        found.update(GROUPS.get(name, (name,)))
    return found


def _with_options(method: Method, options: Mapping[str, float], key: str) -> Method:
    if not options:
        return method
    for option, value in options.items():
        demand_known(key, option, method.changeable)
        expected, holds = _RANGES.get(option, ("", bool))
        if expected and not holds(value):
            raise ConfigError(f"config key `{key}.{option}`: expected {expected}, got {value:g}")
    changed = ", ".join(f"{name} {value:g}" for name, value in options.items())
    description = f"{method.description} Changed in this study: {changed}."
    return replace(method, description=description, settings={**method.settings, **options})


_Range = tuple[str, Callable[[float], bool]]
"""What is expected of a setting, in words, and whether a value is so."""

_POSITIVE: _Range = ("a positive number", lambda value: value > 0)
_COUNT: _Range = ("a positive integer", lambda value: value >= 1 and value == round(value))
_PLURAL: _Range = ("an integer of at least 2", lambda value: value >= 2 and value == round(value))
_RANGES: Mapping[str, _Range] = {
    **dict.fromkeys(("learning_rate", "epochs_factor", "width", "gamma"), _POSITIVE),
    **dict.fromkeys(("top_k", "landmarks"), _COUNT),
    **dict.fromkeys(("batch_size", "folds"), _PLURAL),
    "dropout": ("a number from 0 to below 1", lambda value: 0 <= value < 1),
    "standard_errors": ("a number of at least 0", lambda value: value >= 0),
    "label_smoothing": ("a number from 0 to 1", lambda value: 0 <= value <= 1),
}


def _variant(name: str, given: dict[str, Any]) -> Method:
    """The method that a configuration defines as ``variants.NAME``."""
    key = f"variants.{name}"
    taken = {*KNOWN, *GROUPS, *ALIASES, PRETRAINING, FEATURES}
    demand(name not in taken, key, "a name that no method has", name)
    if "method" not in given:
        raise ConfigError(f"config key `{key}.method`: expected the name of a method to vary, got none")
    base, label = str(given.pop("method")), given.pop("label", name)
    base = ALIASES.get(base, base)
    demand_known(f"{key}.method", base, KNOWN)
    demand(isinstance(label, str), f"{key}.label", "a string", label)
    for setting, value in given.items():
        demand(isinstance(value, int | float), f"{key}.{setting}", "a number", value)
    options = {setting: float(value) for setting, value in given.items()}
    varied = _with_options(KNOWN[base], options, key)
    return replace(varied, label=label, role="ablation", base=base)


def method_notes(methods: Mapping[str, Method]) -> tuple[MethodNote, ...]:
    """The notes on methods for the report."""
    return tuple(
        MethodNote(name, method.label, method.description, method.role, method.base) for name, method in methods.items()
    )
