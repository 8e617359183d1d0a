"""The metrics of a file, and their titles in tables."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from ..plot.rates import AXES
from ..spectrum import Spectrum, eigenvalue_entropy, nesum
from ..spectrum.measuring import number_of

TITLES = {**AXES, "eigenvalue_entropy": "eigenvalue entropy (nats)", "nesum": "NESum (directions)"}
ALIASES = {"sve": "entropy", "lsvr": "largest_ratio", "alpha": "power_law_exponent"}
DEFAULT = (
    "entropy",
    "largest_ratio",
    "effective_rank",
    "stable_rank",
    "participation_ratio",
    "rankme",
    "numerical_rank",
    "condition_number",
    "power_law_exponent",
)


def measures(names: Sequence[str], *, centered: bool) -> dict[str, Callable[[Spectrum], float]]:
    """The metrics, as functions of a spectrum, by name; aliases such as ``sve`` are allowed.

    Raises:
        ValueError: an unknown name, no names, or ``nesum`` without centred columns.
    """
    found: dict[str, Callable[[Spectrum], float]] = {}
    for given in names:
        name = ALIASES.get(given.lower(), given)
        if name not in TITLES:
            raise ValueError(f"`metrics` must be of {', '.join(TITLES)}, got {given!r}")
        if name == "nesum" and not centered:
            raise ValueError("`metrics`: nesum is of centred columns: `center` must be 'column'")
        found[name] = _function(name)
    if not found:
        raise ValueError("`metrics` must name at least one metric, got none")
    return found


def _function(name: str) -> Callable[[Spectrum], float]:
    if name == "nesum":
        return nesum
    if name == "eigenvalue_entropy":
        return lambda spectrum: float(eigenvalue_entropy(np.asarray(spectrum.singular_values)))

    def measure(spectrum: Spectrum) -> float:
        try:
            return number_of(spectrum, name)
        except ValueError:  # the window of the power law has fewer than two values
            return math.nan

    return measure
