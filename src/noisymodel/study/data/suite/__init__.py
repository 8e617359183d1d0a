"""Your own data: sets in files that a configuration declares, and the paper's suites by name."""

from __future__ import annotations

from .presets import PRESETS, describe, presets
from .source import Suite

__all__ = ["PRESETS", "Suite", "describe", "presets"]
