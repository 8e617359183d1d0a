"""Pre-training with noise: supervised, contrastive and masked-token, on built-in networks and those of libraries."""

from __future__ import annotations

from .architectures import untrained
from .compatibility import ARCHITECTURES, NOISE_KINDS, NOISE_OF, OBJECTIVES, fits
from .network import ClassifyingNetwork, MaskedTokenNetwork, Network, PairedNetwork, Pretrained
from .objectives import measures
from .pretrain import pretrain
from .request import PretrainingRequest

__all__ = [
    "ARCHITECTURES",
    "NOISE_KINDS",
    "NOISE_OF",
    "OBJECTIVES",
    "ClassifyingNetwork",
    "MaskedTokenNetwork",
    "Network",
    "PairedNetwork",
    "Pretrained",
    "PretrainingRequest",
    "fits",
    "measures",
    "pretrain",
    "untrained",
]
