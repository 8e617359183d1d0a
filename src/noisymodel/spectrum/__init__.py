"""Spectra of feature matrices: how the singular values of F (N, D) are spread.

All logarithms are natural, 0·ln 0 = 0, p_i = σ_i / Σσ. What papers and packages call by one name is often two
different numbers, so each docstring here says which one it is and how to get the others.
"""

from __future__ import annotations

from .accumulator import GramPrecisionWarning, SpectrumAccumulator
from .analysis import analyze
from .dimension import intrinsic_dimension
from .eigenvalues import eigenvalue_entropy, nesum
from .intervals import MetricInterval, bootstrap_intervals, jackknife_intervals
from .lidar import lidar
from .measuring import PopulationBiasWarning
from .result import Spectrum
from .singular_values import effective_rank, largest_singular_value_ratio, singular_value_entropy

__all__ = [
    "GramPrecisionWarning",
    "MetricInterval",
    "PopulationBiasWarning",
    "Spectrum",
    "SpectrumAccumulator",
    "analyze",
    "bootstrap_intervals",
    "effective_rank",
    "eigenvalue_entropy",
    "intrinsic_dimension",
    "jackknife_intervals",
    "largest_singular_value_ratio",
    "lidar",
    "nesum",
    "singular_value_entropy",
]
