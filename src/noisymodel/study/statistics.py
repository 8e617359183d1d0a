"""Means and paired differences over seeds, with t-intervals: from the rows of a study to its summary."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtr, stdtrit

from .._checks import check_number
from .record import CLEAN_SHIFT, Row, ShiftNote

BASELINES = ("linear_probe", "mlp", "mlp_tuned", "mlp_label_smoothing")
"""What each NMTune variant is compared with, where present; the first is what the others are compared with too."""

COUNTERPARTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "whitened_probe": ("linear_probe",),
        "local_gradient_matching": ("linear_probe", "mlp"),
        "full_fine_tuning": ("linear_probe",),
        "lora": ("linear_probe",),
        "lp_ft": ("linear_probe", "full_fine_tuning"),
        "wise_ft": ("linear_probe", "full_fine_tuning", "lp_ft"),
        "l2_sp": ("linear_probe", "full_fine_tuning"),
        "batch_spectral_shrinkage": ("linear_probe", "full_fine_tuning"),
        "embedding_distortion": ("linear_probe", "full_fine_tuning"),
        "nmtune_fine_tuning": ("linear_probe", "full_fine_tuning"),
        "nmtune_fine_tuning_mlp": ("linear_probe", "full_fine_tuning"),
        "nmtune_lora": ("linear_probe", "lora"),
        "nmtune_lora_mlp": ("linear_probe", "lora"),
    }
)
"""What the other methods are compared with, where present: the first baseline, and what they add something to."""

VARIANT_PREFIX = "nmtune"
"""Methods whose name begins so are variants of NMTune."""

CLEAN = "clean"
"""The value of ``baseline`` in rows that give the change against pre-training without noise."""

NOISY = "noisy"
"""The value of ``noise_rate`` in rows over the mean of all rates above 0."""

MEAN_SHIFT = "mean"
"""The value of ``shift`` in rows over the mean of all reported shifts."""


@dataclass(frozen=True)
class Interval:
    """A mean over seeds with its t-interval."""

    mean: float
    low: float
    high: float
    count: int
    p_value: float
    """Two-sided, of the hypothesis that the mean is zero."""

    @property
    def excludes_zero(self) -> bool:
        """Whether zero lies outside; False where there are no bounds."""
        return self.low > 0 or self.high < 0


class SummaryRow(NamedTuple):
    """One line of ``summary.csv``: a mean over seeds, or a difference paired by seed.

    ``baseline`` is ``""`` for a mean, ``"clean"`` for the change of the method against noise rate 0, or the method
    that is subtracted. ``noise_rate`` is a rate, or ``"noisy"``: for each seed the mean over all rates above 0 comes
    first. ``shift`` is ``"none"`` (in-domain), a shift, or ``"mean"``: for each seed the mean over all reported ones
    comes first. ``seeds`` counts them. ``p_value`` and ``significant`` (the 95 % interval excludes zero) are of
    differences only; ``p_holm`` of the headline comparisons only (see `summarize`).
    """

    data: str
    objective: str
    architecture: str
    noise_kind: str
    noise_rate: str
    method: str
    baseline: str
    shots: int
    split: str
    shift: str
    metric: str
    mean: float
    low: float
    high: float
    seeds: int
    p_value: float
    p_holm: float
    significant: bool | None


class _Cell(NamedTuple):
    """What is the same for all seeds of one number."""

    data: str
    objective: str
    architecture: str
    noise_kind: str
    noise_rate: str
    method: str
    shots: int
    split: str
    shift: str
    metric: str

    def __str__(self) -> str:
        return f"{self.method} {self.metric} ({self.split}, shift {self.shift}, noise rate {self.noise_rate})"


_Cells = dict[_Cell, dict[int, float]]


def mean_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """The mean of ``values`` (n,) with Student's t-interval: mean ± t(n−1, (1+level)/2) · s/√n, s with n−1.

    One value has a mean and no bounds: ``low``, ``high`` and ``p_value`` are NaN. Equal values have an interval of
    width 0, with ``p_value`` 1 if they are all zero and 0 otherwise. NaN among the values gives NaN.

    Raises:
        ValueError: if ``values`` is not one-dimensional or empty, or ``level`` is not in (0, 1).

    >>> interval = mean_interval([1.0, 2.0, 3.0])
    >>> f"{interval.mean:.1f} [{interval.low:.2f}, {interval.high:.2f}] p={interval.p_value:.3f}"
    '2.0 [-0.48, 4.48] p=0.074'
    >>> mean_interval([0.5]).mean, mean_interval([0.5]).low
    (0.5, nan)
    """
    level = check_number(level, "level", minimum=0, maximum=1, exclusive_minimum=True)
    if level == 1:
        raise ValueError("`level` must be below 1, got 1")
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or sample.size == 0:
        raise ValueError(f"`values` must have shape (n,) with n of at least 1, got {sample.shape}")
    mean = float(sample.mean())
    if sample.size == 1:
        return Interval(mean, math.nan, math.nan, 1, math.nan)
    freedom = sample.size - 1
    error = float(sample.std(ddof=1)) / math.sqrt(sample.size)
    if error == 0 or bool((sample == sample[0]).all()):  # rounding in the mean must not give equal values a width
        value = float(sample[0])
        return Interval(value, value, value, sample.size, 1.0 if value == 0 else 0.0)
    half = float(stdtrit(freedom, (1 + level) / 2)) * error
    return Interval(mean, mean - half, mean + half, sample.size, 2 * float(stdtr(freedom, -abs(mean) / error)))


def paired_interval(
    values: Mapping[int, float], baseline: Mapping[int, float], level: float = 0.95, *, what: str = "values"
) -> Interval:
    """The interval of ``values − baseline``, both seed → value, subtracted seed by seed.

    Raises:
        ValueError: if a seed is missing on one side; the message names the side and the seed.

    >>> paired_interval({1: 0.9, 2: 0.8}, {1: 0.5, 2: 0.4}).mean.__round__(3)
    0.4
    """
    for side, have, other in ((what, values, baseline), (f"the baseline of {what}", baseline, values)):
        missing = sorted(set(other) - set(have))
        if missing:
            raise ValueError(
                f"{side} must have every seed of the other side to be paired, seed {missing[0]} is missing"
            )
    return mean_interval([values[seed] - baseline[seed] for seed in sorted(values)], level)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for their number by Holm's step-down method (1979); NaN stays NaN and does not count.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    known = sorted((p, index) for index, p in enumerate(p_values) if not math.isnan(p))
    corrected = [math.nan] * len(p_values)
    largest = 0.0
    for rank, (p, index) in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - rank) * p))
        corrected[index] = largest
    return corrected


def summarize(table: Iterable[Row], shifts: Sequence[ShiftNote]) -> list[SummaryRow]:
    """All means, changes against clean pre-training, and paired differences of a study; intervals at 95 %.

    Differences (accuracy; in-domain, and the mean over the reported shifts): each variant of NMTune against each of
    `BASELINES` that is present, the methods of `COUNTERPARTS` against theirs, and the other baselines against the first
    one. Holm's correction runs over the headline comparisons of the whole table: (variant or method of `COUNTERPARTS`)
    × baseline × {in-domain, mean of shifts} at ``noise_rate`` ``"noisy"``. Nothing else is corrected.

    Raises:
        ValueError: if a number is there twice, a seed, shift or rate is missing in a mean or a difference,
            or a shift that chose hyper-parameters is in the table.
    """
    cells = _collect(table, {shift.name for shift in shifts if shift.role == "tuning"})
    cells |= _pool(cells, "shift", MEAN_SHIFT, lambda cell: cell.shift != CLEAN_SHIFT)
    cells |= _pool(cells, "noise_rate", NOISY, lambda cell: float(cell.noise_rate) > 0)
    rows = [_row(cell, "", mean_interval(list(values.values()))) for cell, values in cells.items()]
    rows += [_row(cell, CLEAN, interval) for cell, interval in _changes(cells)]
    rows += [_row(cell, baseline, interval) for cell, baseline, interval in _differences(cells)]
    return _with_holm(rows)


def is_variant(method: str) -> bool:
    """Whether a method is a variant of NMTune."""
    return method.startswith(VARIANT_PREFIX)


def is_headline(row: SummaryRow) -> bool:
    """Whether a row is one of the comparisons that Holm's correction runs over."""
    return row.noise_rate == NOISY and row.baseline in compared_with(row.method)


def compared_with(method: str) -> tuple[str, ...]:
    """The baselines of a method that the study's headline comparisons are about; none of a baseline itself."""
    if method in COUNTERPARTS:
        return COUNTERPARTS[method]
    return BASELINES if is_variant(method) else ()


def _collect(table: Iterable[Row], tuning_shifts: set[str]) -> _Cells:
    cells: _Cells = {}
    for row in table:
        if row.shift in tuning_shifts:
            raise ValueError(f"`table` must not report shift {row.shift!r}: it was used to choose hyper-parameters")
        cell = _Cell(
            row.data, row.objective, row.architecture, row.noise_kind, repr(float(row.noise_rate)),
            row.method, row.shots, row.split, row.shift, row.metric,
        )  # fmt: skip
        values = cells.setdefault(cell, {})
        if row.seed in values:
            raise ValueError(f"`table` must give each number once, got seed {row.seed} of {cell} twice")
        values[row.seed] = float(row.value)
    return cells


def _pool(cells: _Cells, column: str, label: str, belongs: Callable[[_Cell], bool]) -> _Cells:
    """For each seed the mean over the values of ``column``, all of which must be there for all seeds."""
    groups: dict[_Cell, _Cells] = {}
    expected: dict[tuple[str, str], dict[str, None]] = {}
    for cell, values in cells.items():
        if belongs(cell):
            groups.setdefault(cell._replace(**{column: label}), {})[cell] = values
            expected.setdefault((cell.method, cell.metric), {})[getattr(cell, column)] = None
    pooled: _Cells = {}
    for group, members in groups.items():
        missing = set(expected[group.method, group.metric]) - {getattr(cell, column) for cell in members}
        if missing:
            raise ValueError(f"`table` must have {column} {min(missing)!r} to pool {group}")
        seeds = {seed for values in members.values() for seed in values}
        for cell, values in members.items():
            if seeds - set(values):
                raise ValueError(f"`table` must have seed {min(seeds - set(values))} of {cell} to pool {group}")
        pooled[group] = {seed: float(np.mean([values[seed] for values in members.values()])) for seed in sorted(seeds)}
    return pooled


def _changes(cells: _Cells) -> Iterable[tuple[_Cell, Interval]]:
    for cell, values in cells.items():
        clean = cells.get(cell._replace(noise_rate=repr(0.0)))
        if clean is not None and clean is not values:
            yield cell, paired_interval(values, clean, what=str(cell))


def _differences(cells: _Cells) -> Iterable[tuple[_Cell, str, Interval]]:
    for cell, values in cells.items():
        if cell.metric != "accuracy" or cell.shift not in (CLEAN_SHIFT, MEAN_SHIFT):
            continue
        for baseline in _baselines(cell.method):
            other = cells.get(cell._replace(method=baseline))
            if other is not None:
                yield cell, baseline, paired_interval(values, other, what=f"{cell} against {baseline}")


def _baselines(method: str) -> tuple[str, ...]:
    return BASELINES[:1] if method in BASELINES[1:] else compared_with(method)


def _row(cell: _Cell, baseline: str, interval: Interval) -> SummaryRow:
    return SummaryRow(
        **cell._asdict(),
        baseline=baseline,
        mean=interval.mean,
        low=interval.low,
        high=interval.high,
        seeds=interval.count,
        p_value=interval.p_value if baseline else math.nan,
        p_holm=math.nan,
        significant=interval.excludes_zero if baseline else None,
    )


def _with_holm(rows: list[SummaryRow]) -> list[SummaryRow]:
    places = [place for place, row in enumerate(rows) if is_headline(row)]
    for place, corrected in zip(places, holm([rows[place].p_value for place in places]), strict=True):
        rows[place] = rows[place]._replace(p_holm=corrected)
    return rows
