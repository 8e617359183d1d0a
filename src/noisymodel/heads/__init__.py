"""Heads over frozen features: NMTune and the baselines with the same interface."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from types import MappingProxyType

from .averaged import AveragedHead
from .base import Head, NMTuneOutput
from .convex_probes import FittedProbe, fit_kernel_probe, fit_linear_probe
from .kernel import KernelProbe
from .nmtune import PRESETS, MLPProbe, NMTune, SpectralProbe
from .probes import LinearProbe

__all__ = [
    "HEADS",
    "PRESETS",
    "AveragedHead",
    "FittedProbe",
    "Head",
    "KernelProbe",
    "LinearProbe",
    "MLPProbe",
    "NMTune",
    "NMTuneOutput",
    "SpectralProbe",
    "fit_kernel_probe",
    "fit_linear_probe",
    "settings_of",
]

HEADS: Mapping[str, type[Head]] = MappingProxyType(
    {"nmtune": NMTune, "mlp": MLPProbe, "linear": LinearProbe, "spectral": SpectralProbe}
)
"""Name of a head -> its class."""

_NO_SETTINGS = frozenset({"in_features", "num_classes", "generator"})


def settings_of(head: type[Head]) -> tuple[str, ...]:
    """The names of a head's settings: its arguments, but its widths and what draws its initial weights.

    >>> settings_of(LinearProbe)
    ('normalize', 'label_smoothing', 'gather', 'classifier_init')
    """
    return tuple(name for name in inspect.signature(head).parameters if name not in _NO_SETTINGS)
