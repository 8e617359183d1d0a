"""Lightning: a module that trains a backbone and a head and logs every term, and a callback that logs spectra."""

from __future__ import annotations

from .._extra import require

require("lightning", extra="lightning")

from .callback import SpectrumCallback  # noqa: E402 - a missing library has its own error
from .module import NMTuneModule, Step  # noqa: E402

__all__ = ["NMTuneModule", "SpectrumCallback", "Step"]
