"""The three regularizers of NMTune, as pure functions of feature matrices.

Read in this order: `consistency`, `spectral` (the covariance and the dominant term: one Gram matrix, one gradient),
`decomposition` (the singular values), `regularization` (all three together). `matrix_products` takes the place of
`decomposition` on a GPU.

Statistics are float64, whatever the dtype of the rows; rows on a device without float64 (MPS) are copied to the CPU.
Each function returns a scalar on the rows' device, float64 for float64 rows and float32 otherwise. Gradients have the
rows' dtype and device.
"""

from __future__ import annotations

from .consistency import consistency_loss
from .regularization import NMTuneTerms, nmtune_regularization
from .spectral import covariance_loss, dominant_singular_value_loss

__all__ = [
    "NMTuneTerms",
    "consistency_loss",
    "covariance_loss",
    "dominant_singular_value_loss",
    "nmtune_regularization",
]
