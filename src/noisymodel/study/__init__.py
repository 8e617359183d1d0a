"""The research question, end to end: does noise in pre-training hurt, where, and does tuning repair it?"""

from __future__ import annotations

from .completeness import StudyStatus, status
from .config import PretrainingConfig, StudyConfig, TuningConfig
from .estimating import Estimate, estimate
from .export import ExportedNetwork, export_study, load_exported, verify_exported
from .runner import StudyResult, run

__all__ = [
    "Estimate",
    "ExportedNetwork",
    "PretrainingConfig",
    "StudyConfig",
    "StudyResult",
    "StudyStatus",
    "TuningConfig",
    "estimate",
    "export_study",
    "load_exported",
    "run",
    "status",
    "verify_exported",
]
