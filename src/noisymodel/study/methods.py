"""The tuning methods of the study: one table, name -> how to build the head and how fast to train it.

`METHODS` are those of the default study, on frozen features; `NEIGHBOURS` are run by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from ..heads import Head, LinearProbe, MLPProbe, NMTune
from .config import StudyConfig, unknown_name
from .method import OF_THE_TRAINING, Method
from .neighbours import NEIGHBOURS
from .record import MethodNote


def _paper(in_features: int, num_classes: int, **settings: Any) -> Head:
    return NMTune.from_preset("paper", in_features, num_classes, **settings)


def _official(in_features: int, num_classes: int, **settings: Any) -> Head:
    return NMTune.from_preset("official", in_features, num_classes, **settings)


def _unresidual(in_features: int, num_classes: int, **settings: Any) -> Head:
    return NMTune(in_features, num_classes, residual=False, **settings)


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
            _unresidual,
            {
                "learning_rate": 3e-3,
                "consistency_weight": 1.0,
                "covariance_weight": 3.0,
                "dominant_weight": 0.1,
            },
        ),
    }
)


ALL_METHODS: Mapping[str, Method] = MappingProxyType({**METHODS, **NEIGHBOURS})

GROUPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "default": tuple(METHODS),
        "neighbours": tuple(name for name, method in NEIGHBOURS.items() if not method.sees_pictures),
        "whitebox": tuple(name for name, method in NEIGHBOURS.items() if method.sees_pictures),
        "all": tuple(ALL_METHODS),
    }
)
"""Names that stand for several methods in a configuration."""


def chosen_methods(config: StudyConfig) -> dict[str, Method]:
    """The methods that a configuration names, in the table's order, with its settings; by default `METHODS`.

    Raises:
        ConfigError: a method or a setting that there is not.
        MissingExtraError: a method needs a package that is not installed.
    """
    wanted = _expanded(config.methods or ("default",))
    names = [name for name in ALL_METHODS if name in wanted]
    for name in config.method_options:
        if name not in names:
            raise unknown_name("method_options", name, names)
    methods = {name: _with_options(name, config.method_options.get(name, {})) for name in names}
    for method in methods.values():
        method.check_packages()
    return methods


def _expanded(names: Iterable[str]) -> set[str]:
    """The methods that names of methods and of groups stand for."""
    found: set[str] = set()
    for name in names:
        if name not in ALL_METHODS and name not in GROUPS:
            raise unknown_name("methods", name, [*ALL_METHODS, *GROUPS])
        found.update(GROUPS.get(name, (name,)))
    return found


def _with_options(name: str, options: Mapping[str, float]) -> Method:
    method = ALL_METHODS[name]
    if not options:
        return method
    known = [*OF_THE_TRAINING[:2], *_SETTINGS.get(method.build, method.own_settings)]
    for option in options:
        if option not in known:
            raise unknown_name(f"method_options.{name}", option, known)
    changed = ", ".join(f"{key} {value:g}" for key, value in options.items())
    description = f"{method.description} Changed in this study: {changed}."
    return replace(method, description=description, settings={**method.settings, **options})


_NETWORK = ("dropout", "label_smoothing")
_WEIGHTS = ("consistency_weight", "covariance_weight", "dominant_weight")
_SETTINGS: Mapping[Callable[..., Head], tuple[str, ...]] = {
    LinearProbe: ("label_smoothing",),
    _mlp: _NETWORK,
    _paper: (*_NETWORK, *_WEIGHTS),
    _official: (*_NETWORK, *_WEIGHTS),
    _unresidual: (*_NETWORK, *_WEIGHTS),
}


def method_notes(config: StudyConfig) -> tuple[MethodNote, ...]:
    """How the report speaks of a study's methods."""
    return tuple(
        MethodNote(name, method.label, method.description, method.role)
        for name, method in chosen_methods(config).items()
    )
