"""Pictures of spectra, for print and for the colour-blind: scree, energy, metrics against noise, angles, tuning.

Every function draws on your ``ax``, or on a new figure unknown to pyplot; settings and backend do not change.
``axes.figure.savefig(path)`` writes it; in a notebook ``axes.figure`` as the last line of a cell shows it. matplotlib
(extra ``plot``) is loaded by the first call.
"""

from __future__ import annotations

from .angles import angle_map
from .models import metrics_of_models
from .rates import metric_against_rate, metrics_against_rate
from .spectra import before_after, cumulative_energy, scree

__all__ = [
    "angle_map",
    "before_after",
    "cumulative_energy",
    "metric_against_rate",
    "metrics_against_rate",
    "metrics_of_models",
    "scree",
]
