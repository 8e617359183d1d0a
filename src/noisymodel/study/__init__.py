"""The research question, end to end: does noise in pre-training hurt, where, and does tuning repair it?"""

from __future__ import annotations

from .config import PretrainingConfig, StudyConfig, TuningConfig
from .export import ExportedNetwork, export_study, load_exported, verify_exported
from .runner import StudyResult, run

__all__ = [
    "ExportedNetwork",
    "PretrainingConfig",
    "StudyConfig",
    "StudyResult",
    "TuningConfig",
    "export_study",
    "load_exported",
    "run",
    "verify_exported",
]
