"""Your own data: sets in files that a configuration declares, and the paper's suites by name."""

from __future__ import annotations

from .opening import FORMATS
from .presets import PRESETS, describe, presets
from .source import Suite, SuiteTask, declared_sets

__all__ = ["FORMATS", "PRESETS", "Suite", "SuiteTask", "declared_sets", "describe", "presets"]
