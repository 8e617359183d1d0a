"""Heads over frozen features: NMTune and the baselines with the same interface."""

from __future__ import annotations

from .averaged import AveragedHead
from .base import Head, NMTuneOutput
from .convex_probes import FittedProbe, fit_kernel_probe, fit_linear_probe
from .kernel import KernelProbe
from .nmtune import PRESETS, MLPProbe, NMTune, SpectralProbe
from .probes import LinearProbe
from .table import HEADS, settings_of

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
