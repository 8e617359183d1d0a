"""Pre-trained noisy networks as files for others: weights, what they are, what noise they saw; and back."""

from __future__ import annotations

from .loading import ExportedNetwork, load_exported, verify_exported
from .zoo import export_study

__all__ = ["ExportedNetwork", "export_study", "load_exported", "verify_exported"]
