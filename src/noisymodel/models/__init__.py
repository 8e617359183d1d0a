"""A backbone and a head as one module: `TunedModel`, and adapters of other libraries' models as backbones."""

from __future__ import annotations

from .adapters import open_clip_backbone, timm_backbone, transformers_backbone
from .dense import RowSampler, channels_last
from .tuned import TunedModel, TunedOutput

__all__ = [
    "RowSampler",
    "TunedModel",
    "TunedOutput",
    "channels_last",
    "open_clip_backbone",
    "timm_backbone",
    "transformers_backbone",
]
