"""Ray Data datasets: features of all rows by actors on many machines, and spectra of columns of features."""

from __future__ import annotations

from .features import embed, extract
from .spectra import spectrum

__all__ = ["embed", "extract", "spectrum"]
