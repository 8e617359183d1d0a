"""The tuning methods of the study: one table, name -> how to build the head and how fast to train it.

`METHODS` are those of the default study, on frozen features; `NEIGHBOURS` and `ABLATIONS` are run by name, and a
configuration may define variants of all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from ..errors import ConfigError
from ..heads import Head, LinearProbe, MLPProbe, NMTune
from .ablation import ABLATIONS, FULL, NETWORK_SETTINGS, TUNED, tuned
from .config import StudyConfig, unknown_name
from .method import OF_EVERY_METHOD, Method
from .neighbours import NEIGHBOURS
from .record import MethodNote


def _paper(in_features: int, num_classes: int, **settings: Any) -> Head:
    return NMTune.from_preset("paper", in_features, num_classes, **settings)


def _official(in_features: int, num_classes: int, **settings: Any) -> Head:
    return NMTune.from_preset("official", in_features, num_classes, **settings)


def _mlp(in_features: int, num_classes: int, **settings: Any) -> Head:
    return MLPProbe(in_features, num_classes, residual=False, **settings)


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "linear_probe": Method(
            "linear probe",
            "A linear classifier on the frozen features, learning rate 0.01.",
            "baseline",
            LinearProbe,
            {"learning_rate": 1e-2},
        ),
        "linear_probe_long": Method(
            "linear probe, 4 × as long",
            "The linear probe trained four times as long: how much of an effect is an under-trained probe.",
            "control",
            LinearProbe,
            {"learning_rate": 1e-2, "epochs_factor": 4},
        ),
        "mlp": Method(
            "MLP",
            "NMTune's network without its regularizers, learning rate 0.001.",
            "baseline",
            _mlp,
            {"learning_rate": 1e-3},
        ),
        "mlp_tuned": Method(
            "MLP, tuned rate",
            "The MLP at the learning rate 0.003 that was chosen for the tuned NMTune.",
            "control",
            _mlp,
            {"learning_rate": 3e-3},
        ),
        "mlp_label_smoothing": Method(
            "MLP + label smoothing",
            "The MLP with label smoothing 0.1, learning rate 0.003: the control that every claim must survive.",
            "control",
            _mlp,
            {"learning_rate": 3e-3, "label_smoothing": 0.1},
        ),
        "nmtune_paper": Method(
            "NMTune, paper",
            "The paper's weights: 0.01 on each regularizer, top 1 singular value, learning rate 0.001.",
            "method",
            _paper,
            {"learning_rate": 1e-3},
        ),
        "nmtune_official": Method(
            "NMTune, published code",
            "The published code's weights: consistency 1, covariance 0.04, dominant singular values 0.001 (top 5), "
            "residual connection, the classifier started by Kaiming's rule, learning rate 0.001.",
            "method",
            _official,
            {"learning_rate": 1e-3},
        ),
        "nmtune_tuned": Method(
            "NMTune, tuned",
            "Weights chosen on other seeds and other shifts: consistency 1, covariance 3, dominant singular value 0.1, "
            "no residual connection, learning rate 0.003.",
            "method",
            tuned,
            TUNED,
        ),
    }
)


ALL_METHODS: Mapping[str, Method] = MappingProxyType({**METHODS, **NEIGHBOURS})
KNOWN: Mapping[str, Method] = MappingProxyType({**ALL_METHODS, **ABLATIONS})
"""Every method that a configuration may name."""

GROUPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "default": tuple(METHODS),
        "neighbours": tuple(name for name, method in NEIGHBOURS.items() if not method.sees_pictures),
        "whitebox": tuple(name for name, method in NEIGHBOURS.items() if method.sees_pictures),
        "all": tuple(ALL_METHODS),
        "ablation": (FULL, *ABLATIONS),
    }
)
"""Names that stand for several methods in a configuration."""


def chosen_methods(config: StudyConfig) -> dict[str, Method]:
    """The methods that a configuration names, in the table's order, with its settings; by default `METHODS`.

    Its variants follow, each with the settings of its method in the table and its own in their place.

    Raises:
        ConfigError: a method or a setting that there is not, or a variant under a name that is taken.
        MissingExtraError: a method needs a package that is not installed.
    """
    wanted = _expanded(config.methods or ("default",))
    names = [name for name in KNOWN if name in wanted]
    for name in config.method_options:
        if name not in names:
            raise unknown_name("method_options", name, names)
    methods = {
        name: _with_options(KNOWN[name], config.method_options.get(name, {}), f"method_options.{name}")
        for name in names
    }
    methods |= {name: _variant(name, dict(given)) for name, given in config.variants.items()}
    for method in methods.values():
        method.check_packages()
    return methods


def _expanded(names: Iterable[str]) -> set[str]:
    """The methods that names of methods and of groups stand for."""
    found: set[str] = set()
    for name in names:
        if name not in KNOWN and name not in GROUPS:
            raise unknown_name("methods", name, [*KNOWN, *GROUPS])
        found.update(GROUPS.get(name, (name,)))
    return found


def _with_options(method: Method, options: Mapping[str, float], key: str) -> Method:
    if not options:
        return method
    known = [*OF_EVERY_METHOD, *_SETTINGS.get(method.build, method.own_settings)]
    for option in options:
        if option not in known:
            raise unknown_name(key, option, known)
    changed = ", ".join(f"{name} {value:g}" for name, value in options.items())
    description = f"{method.description} Changed in this study: {changed}."
    return replace(method, description=description, settings={**method.settings, **options})


def _variant(name: str, given: dict[str, Any]) -> Method:
    """The method that a configuration defines as ``variants.NAME``."""
    key = f"variants.{name}"
    if name in KNOWN or name in GROUPS or name in ("pretraining", "features"):
        raise ConfigError(f"config key `{key}`: expected a name that no method has, got {name!r}")
    base = given.pop("method", None)
    if base is None:
        raise ConfigError(f"config key `{key}.method`: expected the name of a method to vary, got none")
    if base not in KNOWN:
        raise unknown_name(f"{key}.method", str(base), list(KNOWN))
    label = given.pop("label", name)
    if not isinstance(label, str):
        raise ConfigError(f"config key `{key}.label`: expected a string, got {label!r}")
    for setting, value in given.items():
        if not isinstance(value, int | float):
            raise ConfigError(f"config key `{key}.{setting}`: expected a number, got {value!r}")
    options = {setting: float(value) for setting, value in given.items()}
    varied = _with_options(KNOWN[base], options, key)
    return replace(varied, label=label, role="ablation", base=base)


_NETWORK = ("dropout", "label_smoothing")
_WEIGHTS = ("consistency_weight", "covariance_weight", "dominant_weight")
_SETTINGS: Mapping[Callable[..., Head], tuple[str, ...]] = {
    LinearProbe: ("label_smoothing",),
    _mlp: _NETWORK,
    _paper: (*_NETWORK, *_WEIGHTS),
    _official: (*_NETWORK, *_WEIGHTS),
    tuned: (*_NETWORK, *_WEIGHTS, *NETWORK_SETTINGS),
}


def method_notes(config: StudyConfig) -> tuple[MethodNote, ...]:
    """How the report speaks of a study's methods."""
    return tuple(
        MethodNote(name, method.label, method.description, method.role, method.base)
        for name, method in chosen_methods(config).items()
    )
