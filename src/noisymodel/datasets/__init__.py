"""Noisy views of datasets and streams: applied when a sample is read, with no copy of the data."""

from __future__ import annotations

from .labels import NoisyLabelDataset, NoisyLabelStream
from .pairs import NoisyPairDataset, NoisyPairStream

__all__ = ["NoisyLabelDataset", "NoisyLabelStream", "NoisyPairDataset", "NoisyPairStream"]
