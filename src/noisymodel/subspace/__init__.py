"""How the dominant subspaces of two feature matrices lie to each other: what singular values alone do not tell.

Two models may have the same spectrum along different directions. Principal angles compare the directions, linear CKA
the geometry of the samples. Both exist for whole matrices and, by cross-products, for features that come in batches.
"""

from __future__ import annotations

from .accumulator import SubspaceAccumulator
from .angles import IllDefinedSubspaceWarning, dominant_rotation, principal_angles
from .similarity import linear_cka

__all__ = ["IllDefinedSubspaceWarning", "SubspaceAccumulator", "dominant_rotation", "linear_cka", "principal_angles"]
