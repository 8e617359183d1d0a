"""NMTune for scikit-learn."""

from __future__ import annotations

from .classifier import NMTuneClassifier

__all__ = ["NMTuneClassifier"]
