"""The summary of a study's rows: means and paired differences over seeds, with t-intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from ..rows import CLEAN_SHIFT, FEATURES, PRETRAINING, Row, ShiftNote
from .intervals import Interval, holm, mean_interval, paired_interval

SOLVED = ("linear", "kernel")
"""Baselines that are solved to convergence, so that no gain of theirs is one of faster training."""

BASELINES = ("linear_probe", "mlp", "mlp_tuned", "mlp_label_smoothing", *SOLVED)
"""The baselines of each NMTune variant, if present; the other baselines are compared with the first, too."""

COUNTERPARTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "linear": ("linear_probe",),
        "kernel": ("linear_probe", "linear"),
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
"""The counterparts of the other methods, if present: the first baseline, and the method that they extend."""

VARIANT_PREFIX = "nmtune"
"""Methods whose names begin with this are variants of NMTune."""

CLEAN = "clean"
"""The value of ``baseline`` in rows that give the change against pre-training without noise."""

NOISY = "noisy"
"""The value of ``noise_rate`` in rows over the mean of all rates above 0."""

MEAN_SHIFT = "mean"
"""The value of ``shift`` in rows over the mean of all reported shifts."""


class SummaryRow(NamedTuple):
    """One line of ``summary.csv``: a mean over seeds, or a difference paired by seed.

    ``baseline`` is ``""`` for a mean, ``"clean"`` for the change of the method against noise rate 0, or the subtracted
    method. ``noise_rate`` is a rate, or ``"noisy"``: the mean over all rates above 0, taken first for each seed.
    ``shift`` is ``"none"`` (in-domain), a shift, or ``"mean"``: the mean over all reported shifts, taken first for each
    seed. ``seeds`` is the number of seeds. Only differences have ``p_value`` and ``significant`` (the 95 % interval
    excludes zero); only the headline comparisons and the ablation have ``p_holm`` (see `summarize`).
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

    @property
    def half_width(self) -> float:
        """Half the width of the interval; NaN without one."""
        return (self.high - self.low) / 2


class _Cell(NamedTuple):
    """The labels of a number, which all its seeds share: the first columns of a `SummaryRow`."""

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

    def __str__(self) -> str:
        return f"{self.method} {self.metric} ({self.split}, shift {self.shift}, noise rate {self.noise_rate})"


_Cells = dict[_Cell, dict[int, float]]


def summarize(
    table: Iterable[Row], shifts: Sequence[ShiftNote], bases: Mapping[str, str] | None = None
) -> list[SummaryRow]:
    """All means, changes against clean pre-training, and paired differences of a study; intervals at 95 %.

    Every row belongs to one group: one data set (and task), objective, architecture, kind of noise and number of shots.

    Differences are of accuracy, in-domain and as the mean over the reported shifts. They compare each variant of NMTune
    with each present one of `BASELINES`, the methods of `COUNTERPARTS` with their counterparts, the other baselines
    with the first one, and each method of ``bases`` with its base. Holm's correction covers the headline comparisons of
    the whole table, all groups together: (variant or method of `COUNTERPARTS`) × baseline × {in-domain, mean of shifts}
    at ``noise_rate`` ``"noisy"``. The comparisons of ``bases`` at ``"noisy"`` only explain, so they are a separate
    family. Nothing else is corrected.

    Args:
        table: the rows of a study.
        shifts: the uses of its shifts.
        bases: method -> the method that it is a variation of.

    If a seed of a group lacks a number, that number has no mean and no differences. (Seeds without any number in a
    group do not count there.)

    Raises:
        ValueError: if a number occurs twice, or a shift that was used to choose hyper-parameters is in the table.
    """
    bases = bases or {}
    cells = _collect(table, {shift.name for shift in shifts if shift.role == "tuning"})
    cells = _complete(cells)
    cells |= _pool(cells, "shift", MEAN_SHIFT, lambda cell: cell.shift != CLEAN_SHIFT)
    cells |= _pool(cells, "noise_rate", NOISY, lambda cell: float(cell.noise_rate) > 0)
    rows = [_row(cell, mean_interval(list(values.values()))) for cell, values in cells.items()]
    rows += [_row(cell, interval) for cell, interval in _differences(cells, _clean)]
    rows += [_row(cell, interval) for cell, interval in _differences(cells, partial(_baselines, bases=bases))]
    rows = _with_holm(rows, is_headline)
    return _with_holm(rows, lambda row: is_ablation(row, bases) and not is_headline(row))


def is_variant(method: str) -> bool:
    """Whether a method is a variant of NMTune."""
    return method.startswith(VARIANT_PREFIX)


def is_headline(row: SummaryRow) -> bool:
    """Whether a row is a headline comparison, to which Holm's correction applies."""
    return row.noise_rate == NOISY and row.baseline in compared_with(row.method)


def is_ablation(row: SummaryRow, bases: Mapping[str, str]) -> bool:
    """Whether a row compares a method with the one that it is a variation of, over the noisy rates."""
    return row.noise_rate == NOISY and bool(row.baseline) and bases.get(row.method) == row.baseline


def compared_with(method: str) -> tuple[str, ...]:
    """The baselines of a method in the headline comparisons; a baseline itself has none."""
    if method in COUNTERPARTS:
        return COUNTERPARTS[method]
    return BASELINES if is_variant(method) else ()


def _collect(table: Iterable[Row], tuning_shifts: set[str]) -> _Cells:
    cells: _Cells = {}
    for row in table:
        if row.shift in tuning_shifts:
            raise ValueError(f"`table` must not report shift {row.shift!r}: it was used to choose hyper-parameters")
        cell = _Cell(
            *row[:4], repr(float(row.noise_rate)), row.method, "", row.shots, row.split, row.shift, row.metric
        )  # fmt: skip
        values = cells.setdefault(cell, {})
        if row.seed in values:
            raise ValueError(f"`table` must give each number once, got seed {row.seed} of {cell} twice")
        values[row.seed] = float(row.value)
    return cells


def _complete(cells: _Cells) -> _Cells:
    """The cells with all seeds of their group; a method that lacks a seed of its group is left out."""
    seeds: dict[tuple[str, ...], set[int]] = {}
    for cell, values in cells.items():
        if cell.method not in (PRETRAINING, FEATURES):
            seeds.setdefault(cell[:4], set()).update(values)
    return {cell: values for cell, values in cells.items() if set(values) >= seeds.get(cell[:4], set())}


def _pool(cells: _Cells, column: str, label: str, belongs: Callable[[_Cell], bool]) -> _Cells:
    """For each seed the mean over the values of ``column``; none if a value of the series is missing."""
    groups: dict[_Cell, _Cells] = {}
    expected: dict[_Cell, set[str]] = {}
    for cell, values in cells.items():
        if belongs(cell):
            groups.setdefault(cell._replace(**{column: label}), {})[cell] = values
            expected.setdefault(_series(cell), set()).add(getattr(cell, column))
    pooled: _Cells = {}
    for group, members in groups.items():
        there = {getattr(cell, column) for cell in members}
        seeds = {seed for values in members.values() for seed in values}
        if there == expected[_series(group)] and all(seeds == set(values) for values in members.values()):
            pooled[group] = {
                seed: float(np.mean([values[seed] for values in members.values()])) for seed in sorted(seeds)
            }
    return pooled


def _series(cell: _Cell) -> _Cell:
    """The series of a cell: one metric of one method in one group; its shifts and rates must be complete."""
    return cell._replace(noise_rate="", split="", shift="")


def _differences(cells: _Cells, subtracted: Callable[[_Cell], Mapping[str, _Cell]]) -> Iterable[tuple[_Cell, Interval]]:
    """The differences to the cells ``subtracted`` (by their name as a baseline) that have the same seeds."""
    for cell, values in cells.items():
        for baseline, other in subtracted(cell).items():
            if set(cells.get(other, ())) == set(values):
                yield cell._replace(baseline=baseline), paired_interval(values, cells[other])


def _clean(cell: _Cell) -> dict[str, _Cell]:
    clean = cell._replace(noise_rate=repr(0.0))
    return {} if cell == clean else {CLEAN: clean}


def _baselines(cell: _Cell, bases: Mapping[str, str]) -> dict[str, _Cell]:
    if cell.metric != "accuracy" or cell.shift not in (CLEAN_SHIFT, MEAN_SHIFT):
        return {}
    first = BASELINES[:1] if cell.method in BASELINES[1:] else ()
    base = [bases[cell.method]] if cell.method in bases else []
    return {name: cell._replace(method=name) for name in (*(compared_with(cell.method) or first), *base)}


def _row(cell: _Cell, interval: Interval) -> SummaryRow:
    p_value, significant = (interval.p_value, interval.excludes_zero) if cell.baseline else (math.nan, None)
    bounds = (interval.mean, interval.low, interval.high)
    return SummaryRow(*cell, *bounds, interval.count, p_value, p_holm=math.nan, significant=significant)


def _with_holm(rows: list[SummaryRow], belongs: Callable[[SummaryRow], bool]) -> list[SummaryRow]:
    """The rows, with corrected p-values in one family."""
    places = [place for place, row in enumerate(rows) if belongs(row)]
    for place, corrected in zip(places, holm([rows[place].p_value for place in places]), strict=True):
        rows[place] = rows[place]._replace(p_holm=corrected)
    return rows
