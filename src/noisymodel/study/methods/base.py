"""The interface of a tuning method: it builds a head and trains it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, cast

import numpy as np
from torch import Tensor

from ..._random import tensor_generator
from ...baselines import interpolate
from ...errors import check_extra
from ...heads import Head, KernelProbe
from ...training import fit
from ..config import TuningConfig
from ..data.source import Inputs, as_rows, take
from ..pretraining import Network

_INITIALISATION = 2
OF_EVERY_METHOD = ("learning_rate", "epochs_factor", "batch_size")
"""Settings of the training that a study may change of every method."""
OF_THE_TRAINING = (*OF_EVERY_METHOD, "interpolation")
"""Settings that are not arguments of ``build``."""

Watch = Callable[[Head, Mapping[str, float]], None]
"""A callback after each epoch, with the head in evaluation mode and the epoch's entry of the history."""


class Material(NamedTuple):
    """The material that a method may train on: a pre-trained network, and the downstream training examples."""

    network: Network
    """The network, in evaluation mode and with frozen parameters; a method that tunes it takes a copy."""
    inputs: Inputs
    """``(n, ...)``: the pictures or token ids."""
    features: Tensor
    """``(n, D)``: their features by the frozen network."""
    labels: Tensor
    """``(n,)``."""
    classes: int
    seed: int
    tuning: TuningConfig

    @property
    def pixels(self) -> Tensor:
        """``(n, P)``: the inputs as rows."""
        return as_rows(take(self.inputs, np.arange(len(self.inputs))))


@dataclass(frozen=True)
class Method:
    """One way to tune a classifier on frozen features."""

    label: str
    description: str
    role: str
    build: Callable[..., Head | KernelProbe]
    """``build(in_features, num_classes, *, generator, **settings)``."""
    settings: Mapping[str, float]
    """Keyword arguments of ``build``; and ``learning_rate``, ``epochs_factor`` (a factor of ``tuning.epochs``) and
    ``batch_size`` (instead of ``tuning.batch_size``)."""
    base: str = ""
    """The method that it is a variation of, for ablations and the variants of a configuration."""
    options: tuple[str, ...] = ()
    """Arguments of ``build`` that a study may change besides those in ``settings``."""
    version: int = 1
    """Raise this version when the results of the same settings change."""
    sees_pictures: bool = False
    """Whether the head's rows are pictures, not features."""
    packages: tuple[str, ...] = ()
    """Packages besides torch that it needs and whose version its results depend on; each is an extra of its own."""

    of_the_training = OF_EVERY_METHOD
    """Settings of the training that a study may change."""

    def head(self, in_features: int, num_classes: int, seed: int) -> Head:
        """A fresh head, its initial values drawn from ``seed``."""
        generator = tensor_generator(seed, _INITIALISATION)
        return cast(Head, self.build(in_features, num_classes, generator=generator, **self.keywords))

    def fitted(self, material: Material, watch: Watch | None = None) -> Head | KernelProbe:
        """The head of this method, trained; ``watch`` is called after each epoch."""
        head = self.head(material.features.shape[1], material.classes, material.seed)
        return self.trained(head, material.features, material, watch)

    def trained(self, head: Head, rows: Tensor, material: Material, watch: Watch | None = None) -> Head:
        """A head after this method's training on rows of the material, features or pictures."""
        fit(
            head,
            rows,
            material.labels,
            epochs=self.epochs(material.tuning.epochs),
            batch_size=round(self.settings.get("batch_size", material.tuning.batch_size)),
            learning_rate=self.learning_rate,
            weight_decay=material.tuning.weight_decay,
            seed=material.seed,
            on_epoch=watch,
        )
        return head

    @property
    def keywords(self) -> dict[str, float]:
        """The settings that ``build`` is called with."""
        return {key: value for key, value in self.settings.items() if key not in OF_THE_TRAINING}

    @property
    def changeable(self) -> list[str]:
        """The settings that a study may change."""
        return list(dict.fromkeys([*self.of_the_training, *self.settings, *self.options]))

    @property
    def learning_rate(self) -> float:
        """Peak learning rate."""
        return self.settings["learning_rate"]

    @property
    def record(self) -> dict[str, object]:
        """Everything that the results depend on besides data and the common training, JSON-ready, without names."""
        known = inspect.signature(self.build).parameters.values()
        defaults = {item.name: item.default for item in known if isinstance(item.default, int | float)}
        settings = {name: float(value) for name, value in {**defaults, **self.settings}.items()}
        return {"build": self.build.__qualname__, "settings": settings, "version": self.version}

    def epochs(self, tuning_epochs: int) -> int:
        """Epochs of training, for the given ``tuning.epochs``; at least one."""
        return max(1, round(tuning_epochs * self.settings.get("epochs_factor", 1)))

    def check_packages(self) -> None:
        """Raise a `MissingExtraError` if a package is not installed."""
        for package in self.packages:
            check_extra(package, extra=package, purpose=f"{self.label} in the study")


@dataclass(frozen=True)
class SolvedMethod(Method):
    """A method without epochs: ``build(features, labels, *, num_classes, seed, **settings)`` gives the fitted head."""

    of_the_training = ()

    def fitted(self, material: Material, watch: Watch | None = None) -> Head | KernelProbe:  # noqa: ARG002 # no epochs
        """The head of this method; ``watch`` is never called, because there are no epochs."""
        found = self.build(
            material.features, material.labels, num_classes=material.classes, seed=material.seed, **self.keywords
        )
        return found.eval()

    def epochs(self, tuning_epochs: int) -> int:  # noqa: ARG002 # of no say
        """One: a solution takes the same time, however many epochs the others train."""
        return 1


@dataclass(frozen=True)
class MaterialMethod(Method):
    """A method whose ``build(material, *, generator, **settings)`` sees the training data and the network.

    The setting ``interpolation`` α interpolates the weights between the initial and the trained head,
    (1 − α)·start + α·end; it suits heads whose initial classifier is already useful.
    """

    def fitted(self, material: Material, watch: Watch | None = None) -> Head:
        """The head of this method, trained; ``watch`` sees the training before the interpolation."""
        generator = tensor_generator(material.seed, _INITIALISATION)
        head = cast(Head, self.build(material, generator=generator, **self.keywords))
        start = {name: value.clone() for name, value in head.state_dict().items()}
        self.trained(head, material.pixels if self.sees_pictures else material.features, material, watch)
        if "interpolation" in self.settings:
            head.load_state_dict(interpolate(start, head.state_dict(), self.settings["interpolation"]))
        return head
