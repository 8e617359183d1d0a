"""The paper's suites by name: what they want on the disk, where it comes from, and the suite that it makes."""

from __future__ import annotations

from .expanding import PRESETS, check_presets, describe, expand_presets, missing_files, presets
from .preset import Part, Preset, PresetTask

__all__ = [
    "PRESETS",
    "Part",
    "Preset",
    "PresetTask",
    "check_presets",
    "describe",
    "expand_presets",
    "missing_files",
    "presets",
]
