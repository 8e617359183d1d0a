"""Ray Data datasets: extraction of features by actors on many machines, and spectra of columns of features."""

from __future__ import annotations

from .features import embed, extract
from .spectra import spectrum

__all__ = ["embed", "extract", "spectrum"]
