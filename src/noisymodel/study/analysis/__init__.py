"""Statistics of a study's numbers: means, paired differences, and correlations of spectra with accuracy."""

from __future__ import annotations

from .correlations import Correlation, correlate

__all__ = ["Correlation", "correlate"]
