"""Extraction of a backbone's features into a feature store: `extract`, and backbones by name."""

from __future__ import annotations

from .backbones import Backbone, load_backbone
from .extract import extract
from .weights import weights_fingerprint

__all__ = ["Backbone", "extract", "load_backbone", "weights_fingerprint"]
