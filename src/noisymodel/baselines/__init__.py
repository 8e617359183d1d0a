"""Baselines of NMTune from other papers, as pure functions, and a whitened probe as a control.

`docs/methods.md` has them in one table, each with its formula, its source and its tested properties.
"""

from __future__ import annotations

from .discriminant import DiscriminantSums
from .interpolation import interpolate
from .matching import local_gradient_matching
from .penalties import embedding_distortion, l2_sp_penalty
from .shrinkage import batch_spectral_shrinkage
from .whitening import WhitenedProbe, whitening

__all__ = [
    "DiscriminantSums",
    "WhitenedProbe",
    "batch_spectral_shrinkage",
    "embedding_distortion",
    "interpolate",
    "l2_sp_penalty",
    "local_gradient_matching",
    "whitening",
]
