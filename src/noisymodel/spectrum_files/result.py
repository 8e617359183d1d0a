"""The result of an analysis of files."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..spectrum import MetricInterval, Spectrum

ENERGY = 0.9  # the share of Σσ² that the counted directions hold


@dataclass(frozen=True, eq=False)
class FileSpectrum:
    """The spectrum of the rows of one file.

    Attributes:
        name: the name of its column in tables and its line in figures.
        path: the file, as it was given.
        key: the array or column of the file; None if there is only one.
        dtype: the dtype of the stored rows.
        rows: the range of the analysed rows: the first, and the last (exclusive).
        spectrum: see `Spectrum`.
        metrics: the requested metrics; an undefined one is NaN.
        intervals: the metrics with jackknife intervals, if requested.
    """

    name: str
    path: str
    key: str | None
    dtype: str
    rows: tuple[int, int]
    spectrum: Spectrum
    metrics: Mapping[str, float]
    intervals: Mapping[str, MetricInterval] = field(default_factory=dict[str, MetricInterval])

    @property
    def edge(self) -> float:
        """The Marchenko–Pastur edge, see `Spectrum.marchenko_pastur_edge`."""
        return self.spectrum.marchenko_pastur_edge()

    @property
    def above_edge(self) -> int:
        """The number of singular values above the edge."""
        return int(np.count_nonzero(np.asarray(self.spectrum.singular_values) > self.edge))

    @property
    def directions(self) -> int:
        """The number of directions that hold 90 % of Σσ²; 0 for a zero spectrum."""
        values = np.asarray(self.spectrum.singular_values)
        if not values[0] > 0:
            return 0
        energy = np.cumsum((values / values[0]) ** 2)
        return min(len(energy), int(np.searchsorted(energy, ENERGY * energy[-1] * (1 - 1e-12))) + 1)

    def to_dict(self) -> dict[str, Any]:
        """A dictionary for JSON; NaN and infinity become None."""
        return {
            "name": self.name,
            "path": self.path,
            "key": self.key,
            "dtype": self.dtype,
            "rows": list(self.rows),
            "num_samples": self.spectrum.num_samples,
            "num_features": self.spectrum.num_features,
            "metrics": {name: _finite(value) for name, value in self.metrics.items()},
            "intervals": _intervals(self.intervals),
            "marchenko_pastur_edge": _finite(self.edge),
            "values_above_edge": self.above_edge,
            "directions_for_90_percent": self.directions,
            "singular_values": np.asarray(self.spectrum.singular_values).tolist(),
        }


@dataclass(frozen=True, eq=False)
class Comparison:
    """The comparison of one file with the baseline.

    Attributes:
        name: the name of the file.
        baseline: the name of the baseline.
        differences: the metrics of the file minus those of the baseline.
        intervals: intervals of the differences, with the same rows left out of both; only if the files have the same
            rows.
        angles: the principal angles between the top-k right-singular subspaces, radians, ascending; None if the files
            have different numbers of features.
        cka: linear CKA; None if the files have different numbers of rows.
        cka_debiased: the unbiased estimate of CKA; None if ``cka`` is None, or with fewer than four rows.
    """

    name: str
    baseline: str
    differences: Mapping[str, float]
    intervals: Mapping[str, MetricInterval] = field(default_factory=dict[str, MetricInterval])
    angles: tuple[float, ...] | None = None
    cka: float | None = None
    cka_debiased: float | None = None

    @property
    def rotation(self) -> float | None:
        """The largest of ``angles``: the rotation of the top-k subspace."""
        return self.angles[-1] if self.angles else None

    def to_dict(self) -> dict[str, Any]:
        """A dictionary for JSON; angles in radians."""
        return {
            "name": self.name,
            "baseline": self.baseline,
            "differences": {name: _finite(value) for name, value in self.differences.items()},
            "intervals": _intervals(self.intervals),
            "top_k": len(self.angles) if self.angles else None,
            "principal_angles": list(self.angles) if self.angles else None,
            "dominant_rotation": self.rotation,
            "linear_cka": _finite(self.cka),
            "linear_cka_debiased": _finite(self.cka_debiased),
        }


@dataclass(frozen=True, eq=False)
class FilesAnalysis:
    """The result of `analyze_files`.

    Attributes:
        files: one for each file (and key), the baseline first.
        comparisons: one for each file except the baseline.
        settings: the arguments, in a form for JSON.
        notes: caveats of these numbers, one line each: half precision, an inaccurate Gram matrix, subspaces that are
            not unique, impossible comparisons.
    """

    files: tuple[FileSpectrum, ...]
    comparisons: tuple[Comparison, ...]
    settings: Mapping[str, Any]
    notes: tuple[str, ...]

    def __getitem__(self, name: str) -> FileSpectrum:
        """The file of this name."""
        for file in self.files:
            if file.name == name:
                return file
        raise KeyError(f"no file is called {name!r}: there are {', '.join(file.name for file in self.files)}")

    def to_dict(self) -> dict[str, Any]:
        """A dictionary for JSON."""
        from .. import __version__

        return {
            "library_version": __version__,
            "settings": dict(self.settings),
            "files": [file.to_dict() for file in self.files],
            "comparisons": [comparison.to_dict() for comparison in self.comparisons],
            "notes": list(self.notes),
        }


def _intervals(intervals: Mapping[str, MetricInterval]) -> dict[str, Any]:
    shown = ("value", "low", "high", "standard_error", "bias", "level")
    return {name: {one: _finite(getattr(interval, one)) for one in shown} for name, interval in intervals.items()}


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
