"""The research question, end to end: does noise in pre-training hurt, where, and does tuning repair it?"""

from __future__ import annotations

from .config import PretrainingConfig, StudyConfig, TuningConfig
from .runner import StudyResult, run

__all__ = ["PretrainingConfig", "StudyConfig", "StudyResult", "TuningConfig", "run"]
