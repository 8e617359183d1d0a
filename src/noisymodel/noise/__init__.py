"""Noise in labels: pure functions of labels and a seed, with the matrices that they sample from."""

from __future__ import annotations

from .labels import NoisyLabels, symmetric
from .transitions import symmetric_transition

__all__ = ["NoisyLabels", "symmetric", "symmetric_transition"]
