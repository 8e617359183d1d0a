"""Methods on frozen features: probes, networks and NMTune. An entry in `ON_FEATURES` is a method of the study.

Every entry names all settings of its head, so that a study's numbers do not depend on the library's defaults.
"""

from __future__ import annotations

import inspect
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from ...baselines import WhitenedProbe, local_gradient_matching
from ...heads import Head, KernelProbe, LinearProbe, MLPProbe, NMTune, fit_kernel_probe, fit_linear_probe
from ...losses import NMTuneTerms
from .base import Material, MaterialMethod, Method, SolvedMethod

# ---- heads -----------------------------------------------------------------------------------------------------------

_AS_PUBLISHED: Mapping[str, Any] = {"normalize": None, "input_noise": 0.0, "depth": 1, "reduction": "mean"}
"""Settings that no method of the study changes, independent of the library's defaults."""


def _explicit(kind: type[Head], **settings: Any) -> dict[str, Any]:
    """Arguments of a head: the fixed settings that it has, and the given ones."""
    known = inspect.signature(kind).parameters
    return {name: value for name, value in _AS_PUBLISHED.items() if name in known} | settings


def probe(in_features: int, num_classes: int, *, label_smoothing: float = 0.0, generator: torch.Generator) -> Head:
    """A linear classifier."""
    return LinearProbe(
        in_features,
        num_classes,
        **_explicit(LinearProbe, label_smoothing=label_smoothing, classifier_init="linear", generator=generator),
    )


def network(
    in_features: int,
    num_classes: int,
    *,
    generator: torch.Generator,
    residual: float = 0,
    batch_norm: float = 1,
    width: float = 4,
    top_k: float = 1,
    kaiming: float = 0,
    dropout: float = 0.0,
    label_smoothing: float = 0.0,
    **weights: float,
) -> Head:
    """`NMTune` with hidden layers of ``width`` · D features; without weights `MLPProbe`. 0 is False, 1 is True."""
    kind = NMTune if weights else MLPProbe
    return kind(
        in_features,
        num_classes,
        **_explicit(
            kind,
            residual=bool(residual),
            norm="batch" if batch_norm else None,
            hidden_features=max(1, round(width * in_features)),
            classifier_init="kaiming" if kaiming else "linear",
            dropout=dropout,
            label_smoothing=label_smoothing,
            generator=generator,
            **({"top_k": round(top_k), **weights} if weights else {}),
        ),
    )


# ---- heads of other papers -------------------------------------------------------------------------------------------


class _MatchedProbe(MLPProbe):
    """The MLP with local gradient matching; ``generator`` draws its initial values, then its noise."""

    def __init__(
        self, *arguments: Any, weight: float, noise_std: float, generator: torch.Generator, **keywords: Any
    ) -> None:
        super().__init__(*arguments, generator=generator, **keywords)
        self.weight, self.noise_std, self.generator = weight, noise_std, generator

    def loss(
        self,
        features: Tensor,
        targets: Tensor,
        *,
        reference: Tensor | None = None,
        sample_weight: Tensor | None = None,
    ) -> NMTuneTerms:
        terms = super().loss(features, targets, reference=reference, sample_weight=sample_weight)
        with _kept_statistics(self):
            matching = local_gradient_matching(
                self, features, targets, noise_std=self.noise_std, generator=self.generator
            )
        return terms._replace(total=terms.total + self.weight * matching)


@contextmanager
def _kept_statistics(head: nn.Module) -> Generator[None]:
    """Keep BatchNorm's running statistics free of perturbed features."""
    norms = [module for module in head.modules() if isinstance(module, nn.BatchNorm1d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


def _matched(material: Material, *, generator: torch.Generator, weight: float, noise_std: float) -> Head:
    width = material.features.shape[1]
    settings = _explicit(MLPProbe, residual=False, norm="batch", hidden_features=4 * width, generator=generator)
    return _MatchedProbe(width, material.classes, weight=weight, noise_std=noise_std, **settings)


def _whitened(material: Material, *, generator: torch.Generator, shrinkage: float) -> Head:
    head = WhitenedProbe(material.features.shape[1], material.classes, shrinkage=shrinkage, generator=generator)
    return head.whiten(material.features)


# ---- solved, not trained ---------------------------------------------------------------------------------------------

_LINEAR_PENALTIES = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 3e-4)
_KERNEL_PENALTIES = (1e-1, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 3e-6)


def _linear(features: Tensor, labels: Tensor, *, folds: float, calibrate: float, **options: Any) -> LinearProbe:
    options |= {"folds": round(folds), "calibrate": bool(calibrate), "normalize": "l2"}
    return fit_linear_probe(features, labels, penalties=_LINEAR_PENALTIES, **options).head


def _kernel(
    features: Tensor, labels: Tensor, *, folds: float, calibrate: float, landmarks: float, **options: Any
) -> KernelProbe:
    options |= {"folds": round(folds), "calibrate": bool(calibrate), "landmarks": round(landmarks)}
    return fit_kernel_probe(features, labels, penalties=_KERNEL_PENALTIES, **options).head


_SOLVED: Mapping[str, float] = MappingProxyType({"folds": 5, "calibrate": 1, "standard_errors": 1.0})

# ---- the table -------------------------------------------------------------------------------------------------------

_NETWORK = ("dropout", "label_smoothing")
WHOLE_NETWORK = ("residual", "batch_norm", "width")
"""Settings of the network that a study may change."""
_WEIGHTS = ("consistency_weight", "covariance_weight", "dominant_weight")


def weights(consistency: float, covariance: float, dominant: float) -> dict[str, float]:
    """NMTune's three weights as settings."""
    return dict(zip(_WEIGHTS, (consistency, covariance, dominant), strict=True))


def _network_method(label: str, description: str, role: str, **settings: float) -> Method:
    options = (*_NETWORK, *WHOLE_NETWORK)
    return Method(label, description, role, network, settings, options=options)


TUNED: Mapping[str, float] = MappingProxyType({"learning_rate": 3e-3, **weights(1.0, 3.0, 0.1), "top_k": 1})
"""The settings of the tuned NMTune."""

ON_FEATURES: Mapping[str, Method] = MappingProxyType(
    {
        "linear_probe": Method(
            "linear probe",
            "A linear classifier on the frozen features, learning rate 0.01.",
            "baseline",
            probe,
            {"learning_rate": 1e-2},
            options=("label_smoothing",),
        ),
        "linear_probe_long": Method(
            "linear probe, 4 × as long",
            "The linear probe trained four times as long: how much of an effect is an under-trained probe.",
            "control",
            probe,
            {"learning_rate": 1e-2, "epochs_factor": 4},
            options=("label_smoothing",),
        ),
        "linear": SolvedMethod(
            "convex linear probe",
            "Logistic regression by L-BFGS on the frozen features as rows of one length, the penalty by five-fold "
            "cross-validation: the strongest within one standard error of the best.",
            "baseline",
            _linear,
            _SOLVED,
        ),
        "kernel": SolvedMethod(
            "kernel probe",
            "Logistic regression on a Gaussian kernel (γ = 1, at most 1,500 landmarks) of the frozen features as rows "
            "of length one, the penalty as of the convex linear probe.",
            "baseline",
            _kernel,
            {**_SOLVED, "gamma": 1.0, "landmarks": 1500},
        ),
        "mlp": _network_method(
            "MLP",
            "NMTune's network without its regularizers, learning rate 0.001.",
            "baseline",
            learning_rate=1e-3,
        ),
        "mlp_tuned": _network_method(
            "MLP, tuned rate",
            "The MLP at the learning rate 0.003 that was chosen for the tuned NMTune.",
            "control",
            learning_rate=3e-3,
        ),
        "mlp_label_smoothing": _network_method(
            "MLP + label smoothing",
            "The MLP with label smoothing 0.1, learning rate 0.003: the control that every claim must survive.",
            "control",
            learning_rate=3e-3,
            label_smoothing=0.1,
        ),
        "nmtune_paper": _network_method(
            "NMTune, paper",
            "The paper's weights: 0.01 on each regularizer, top 1 singular value, learning rate 0.001.",
            "method",
            learning_rate=1e-3,
            **weights(0.01, 0.01, 0.01),
            top_k=1,
        ),
        "nmtune_official": _network_method(
            "NMTune, published code",
            "The published code's weights: consistency 1, covariance 0.04, dominant singular values 0.001 (top 5), "
            "residual connection, the classifier started by Kaiming's rule, learning rate 0.001.",
            "method",
            learning_rate=1e-3,
            **weights(1.0, 0.04, 0.001),
            top_k=5,
            residual=1,
            kaiming=1,
        ),
        "nmtune_tuned": _network_method(
            "NMTune, tuned",
            "Weights chosen on other seeds and other shifts: consistency 1, covariance 3, dominant singular value 0.1, "
            "no residual connection, learning rate 0.003.",
            "method",
            **TUNED,
        ),
    }
)
"""Name -> method of the default study, in the order of tables."""

OTHERS: Mapping[str, Method] = MappingProxyType(
    {
        "whitened_probe": MaterialMethod(
            "whitening + linear probe",
            "A linear probe on ZCA-whitened features, shrinkage 0.1, learning rate 0.01.",
            "control",
            _whitened,
            {"learning_rate": 1e-2, "shrinkage": 0.1},
        ),
        "local_gradient_matching": MaterialMethod(
            "MLP + gradient matching",
            "The MLP with local gradient matching, weight 1, noise 0.1 of the features' root mean square, learning "
            "rate 0.001. The definition is this library's.",
            "baseline",
            _matched,
            {"learning_rate": 1e-3, "weight": 1.0, "noise_std": 0.1},
        ),
    }
)
"""Further methods on frozen features, run by name."""
