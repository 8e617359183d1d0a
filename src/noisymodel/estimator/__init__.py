"""NMTune for scikit-learn."""

from __future__ import annotations

from .classifier import NMTuneClassifier
from .layers import compare_layers

__all__ = ["NMTuneClassifier", "compare_layers"]
