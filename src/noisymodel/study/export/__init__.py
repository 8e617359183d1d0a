"""Export of pre-trained networks as files for others (weights, configuration, audit of the noise), and loading."""

from __future__ import annotations

from .loading import ExportedNetwork, load_exported, verify_exported
from .zoo import export_study

__all__ = ["ExportedNetwork", "export_study", "load_exported", "verify_exported"]
