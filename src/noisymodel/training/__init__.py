"""The only training loop of the library."""

from __future__ import annotations

from .holding_out import held_out
from .loop import FitResult, fit

__all__ = ["FitResult", "fit", "held_out"]
