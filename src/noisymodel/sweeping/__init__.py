"""Many heads on the same rows, trained together as batched models."""

from __future__ import annotations

from .choice import Choice, choose, default_grid
from .heads import train_heads
from .sweep import SweepResult, sweep

__all__ = ["Choice", "SweepResult", "choose", "default_grid", "sweep", "train_heads"]
