"""The study of the research question: does noise in pre-training hurt, where, and does tuning repair it?"""

from __future__ import annotations

from .config import PretrainingConfig, StudyConfig, TuningConfig
from .dry_run import Estimate, estimate
from .export import ExportedNetwork, export_study, load_exported, verify_exported
from .plan import Plan, plan
from .progress import StudyStatus, status
from .runner import StudyResult, run

__all__ = [
    "Estimate",
    "ExportedNetwork",
    "Plan",
    "PretrainingConfig",
    "StudyConfig",
    "StudyResult",
    "StudyStatus",
    "TuningConfig",
    "estimate",
    "export_study",
    "load_exported",
    "plan",
    "run",
    "status",
    "verify_exported",
]
