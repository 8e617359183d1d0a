"""Spectra of feature matrices: how the singular values of F (N, D) are spread.

All logarithms are natural, 0·ln 0 = 0, p_i = σ_i / Σσ. What papers and packages call by one name is often two
different numbers, so each docstring here says which one it is and how to get the others.
"""

from __future__ import annotations

from .accumulator import GramPrecisionWarning, SpectrumAccumulator
from .analysis import analyze
from .result import Spectrum
from .singular_values import effective_rank, largest_singular_value_ratio, singular_value_entropy

__all__ = [
    "GramPrecisionWarning",
    "Spectrum",
    "SpectrumAccumulator",
    "analyze",
    "effective_rank",
    "largest_singular_value_ratio",
    "singular_value_entropy",
]
