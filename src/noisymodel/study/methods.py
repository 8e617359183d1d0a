"""The tuning methods of the study: one table, name -> how to build the head and how fast to train it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from .._random import tensor_generator
from ..heads import Head, LinearProbe, MLPProbe, NMTune
from .config import StudyConfig, unknown_name
from .record import MethodNote

_INITIALISATION = 2


@dataclass(frozen=True)
class Method:
    """One way to tune a classifier on frozen features."""

    label: str
    description: str
    role: str
    build: Callable[..., Head]
    """``build(in_features, num_classes, *, generator, **settings)``."""
    settings: Mapping[str, float]
    """Keyword arguments of ``build``, and ``learning_rate`` and ``epochs_factor`` (times ``tuning.epochs``)."""

    def head(self, in_features: int, num_classes: int, seed: int) -> Head:
        """A fresh head, its initial values drawn from ``seed``."""
        generator = tensor_generator(seed, _INITIALISATION)
        keywords = {key: value for key, value in self.settings.items() if key not in _OF_THE_TRAINING}
        return self.build(in_features, num_classes, generator=generator, **keywords)

    @property
    def learning_rate(self) -> float:
        """Peak learning rate."""
        return self.settings["learning_rate"]

    def epochs(self, tuning_epochs: int) -> int:
        """Epochs of training where ``tuning.epochs`` is given."""
        return round(tuning_epochs * self.settings.get("epochs_factor", 1))


_OF_THE_TRAINING = ("learning_rate", "epochs_factor")


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


def chosen_methods(config: StudyConfig) -> dict[str, Method]:
    """The methods that a configuration names, in the table's order, with its settings.

    Raises:
        ConfigError: a method or a setting that there is not.
    """
    for name in config.methods:
        if name not in METHODS:
            raise unknown_name("methods", name, list(METHODS))
    names = [name for name in METHODS if name in config.methods or not config.methods]
    for name in config.method_options:
        if name not in names:
            raise unknown_name("method_options", name, names)
    return {name: _with_options(name, config.method_options.get(name, {})) for name in names}


def _with_options(name: str, options: Mapping[str, float]) -> Method:
    method = METHODS[name]
    if not options:
        return method
    known = [*_OF_THE_TRAINING, *_SETTINGS[method.build]]
    for option in options:
        if option not in known:
            raise unknown_name(f"method_options.{name}", option, known)
    changed = ", ".join(f"{key} {value:g}" for key, value in options.items())
    return Method(
        method.label,
        f"{method.description} Changed in this study: {changed}.",
        method.role,
        method.build,
        {**method.settings, **options},
    )


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
