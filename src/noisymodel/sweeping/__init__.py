"""Many heads on the same rows, trained together as batched models."""

from __future__ import annotations

from .sweep import SweepResult, sweep

__all__ = ["SweepResult", "sweep"]
