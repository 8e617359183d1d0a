"""Noisy Model Learning: tune foundation models that were pre-trained on noisy data.

Names are loaded on first use, so that ``import noisymodel`` costs nothing and pulls in no optional package.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import (
        baselines,
        datasets,
        errors,
        features,
        integrations,
        losses,
        metrics,
        models,
        noise,
        plot,
        spectrum,
        study,
        subspace,
    )
    from .estimator import NMTuneClassifier
    from .features import FeatureStore
    from .heads import LinearProbe, MLPProbe, NMTune, NMTuneOutput
    from .models import TunedModel, TunedOutput
    from .objective import NMTuneLoss, NMTuneTerms
    from .sweeping import SweepResult, sweep
    from .training import FitResult, fit

__version__ = "0.1.0"

__all__ = [
    "FeatureStore",
    "FitResult",
    "LinearProbe",
    "MLPProbe",
    "NMTune",
    "NMTuneClassifier",
    "NMTuneLoss",
    "NMTuneOutput",
    "NMTuneTerms",
    "SweepResult",
    "TunedModel",
    "TunedOutput",
    "baselines",
    "datasets",
    "errors",
    "features",
    "fit",
    "integrations",
    "losses",
    "metrics",
    "models",
    "noise",
    "plot",
    "spectrum",
    "study",
    "subspace",
    "sweep",
]

_NAMES = {
    "estimator": ("NMTuneClassifier",),
    "features": ("FeatureStore",),
    "heads": ("LinearProbe", "MLPProbe", "NMTune", "NMTuneOutput"),
    "models": ("TunedModel", "TunedOutput"),
    "objective": ("NMTuneLoss", "NMTuneTerms"),
    "sweeping": ("SweepResult", "sweep"),
    "training": ("FitResult", "fit"),
}
_HOME = {name: module for module, names in _NAMES.items() for name in names}
_MODULES = (frozenset(__all__) - frozenset(_HOME)) | {
    "cli", "estimator", "files", "heads", "noise_files", "objective", "spectrum_files", "sweeping", "training",
}  # fmt: skip


def __getattr__(name: str) -> object:
    if name in _HOME:
        value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    elif name in _MODULES:
        value = import_module(f".{name}", __name__)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*_HOME, *_MODULES, "__version__"})
