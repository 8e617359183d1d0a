"""The only training loop of the library."""

from __future__ import annotations

from .loop import FitResult, fit

__all__ = ["FitResult", "fit"]
