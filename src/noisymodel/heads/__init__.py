"""Heads over frozen features: NMTune and the baselines with the same interface."""

from __future__ import annotations

from .base import Head, NMTuneOutput
from .nmtune import PRESETS, NMTune
from .probes import LinearProbe, MLPProbe
from .spectral import SpectralProbe
from .table import HEADS, settings_of

__all__ = [
    "HEADS",
    "PRESETS",
    "Head",
    "LinearProbe",
    "MLPProbe",
    "NMTune",
    "NMTuneOutput",
    "SpectralProbe",
    "settings_of",
]
