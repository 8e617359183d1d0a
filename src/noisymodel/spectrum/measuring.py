"""Which metrics of resampled rows are taken, and for which question."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from .._checks import check_choice, check_number, warn_caller
from .accumulator import SpectrumAccumulator
from .analysis import Center, check_operations
from .result import METRICS, Spectrum

Metric: TypeAlias = Callable[[Spectrum], float]
Metrics: TypeAlias = Sequence[str] | Mapping[str, Metric]
Target: TypeAlias = Literal["sample", "population"]

TARGETS = ("sample", "population")
MEASURED = ("entropy", "largest_ratio", "effective_rank")
SCALARS = (*METRICS, "rankme", "power_law_exponent")
"""Properties, and methods without arguments, of a `Spectrum` that do not grow with its number of rows."""

_ENOUGH = 4  # rows for each feature, below which the bias is no longer D/N to first order


class PopulationBiasWarning(UserWarning):
    """There are too few rows for each feature to extrapolate to a population."""


class Measuring(NamedTuple):
    """What is measured on every set of rows; ``settings`` are those of the rows' accumulators."""

    metrics: dict[str, Metric]
    target: Target
    level: float
    center: Literal["none", "column"]
    settings: dict[str, Any]

    @classmethod
    def of(
        cls, metrics: Metrics, target: Target, level: float, center: Center, normalize: bool, preset: str | None
    ) -> Measuring:
        """The arguments of an interval, checked."""
        check_choice(target, "target", TARGETS)
        level = check_number(level, "level")
        if not 0 < level < 1:
            raise ValueError(f"`level` must be in (0, 1), got {level}")
        center, normalize = check_operations(center, normalize, preset)
        settings = {"center_rows": center == "row", "normalize": normalize}
        return cls(_functions(metrics), target, level, "column" if center == "column" else "none", settings)

    def __call__(self, rows: SpectrumAccumulator) -> npt.NDArray[np.float64]:
        """All metrics of the rows, in order."""
        spectrum = rows.spectrum(center=self.center)
        return np.array([float(function(spectrum)) for function in self.metrics.values()])

    def warn_of_few_rows(self, num_rows: int, num_features: int) -> None:
        """Warn the caller's caller where there are too few rows for the question."""
        if self.target == "population" and num_rows < _ENOUGH * num_features:
            warn_caller(
                f"{num_rows} rows are too few to extrapolate the spectrum of {num_features} features to a population, "
                f'which needs {_ENOUGH * num_features}: use target="sample", or more rows',
                PopulationBiasWarning,
            )


def _functions(metrics: Metrics) -> dict[str, Metric]:
    if isinstance(metrics, str):
        raise TypeError(f"`metrics` must be a list of names or a mapping, got the string {metrics!r}")
    if not isinstance(metrics, Mapping | Sequence):  # pyright: ignore[reportUnnecessaryIsInstance] # callers may err
        raise TypeError(f"`metrics` must be a list of names or a mapping, got {type(metrics).__name__}")
    if isinstance(metrics, Mapping):
        functions = dict(metrics)
    else:
        for name in metrics:
            check_choice(name, "metrics", SCALARS)
        functions = {name: partial(number_of, name=name) for name in metrics}
    for name, function in functions.items():
        if not isinstance(name, str) or not callable(function):  # pyright: ignore[reportUnnecessaryIsInstance] # see above
            raise TypeError(f"`metrics` must map names to functions of a Spectrum, got {name!r}: {function!r}")
    if not functions:
        raise ValueError("`metrics` must hold at least one metric, got none")
    return functions


def number_of(spectrum: Spectrum, name: str) -> float:
    """The value of a property, or of a method without arguments."""
    found: Any = getattr(spectrum, name)
    return float(found() if hasattr(found, "__call__") else found)  # noqa: B004 - callable() would narrow Any to object
