"""NMTune as a scikit-learn estimator."""

from __future__ import annotations

from .classifier import NMTuneClassifier
from .layers import compare_layers

__all__ = ["NMTuneClassifier", "compare_layers"]
