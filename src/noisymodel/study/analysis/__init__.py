"""What a study's numbers say together: correlations of spectra with accuracy."""

from __future__ import annotations

from .correlations import Correlation, correlate

__all__ = ["Correlation", "correlate"]
