"""Collection of stored parts into the rows of results, with the names of data, network, task and method."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .failures import Failure
from .part_cache import PartCache, Values
from .plan import NETWORKS, CellName, Part, Plan
from .rows import CLEAN_SHIFT, FEATURES, PRETRAINING, CurveRow, Gap, Row


class Collected(NamedTuple):
    """The collected numbers of a study."""

    table: list[Row]
    spectra: dict[str, NDArray[np.float64]]
    """``"rate=0.05/seed=7000/id"`` -> singular values; with several groups the group stands before the rate."""
    curves: list[CurveRow]
    gaps: list[Gap]
    """Missing parts, with the reasons."""


def collect(plan: Plan, cache: PartCache, failures: Sequence[Failure] = ()) -> Collected:
    """The rows of all stored parts, and for each missing part a gap with its reason."""
    found = Collected([], {}, [], [])
    several = len({cell[:3] for cell in plan.cells}) * len(plan.tasks) > 1
    reasons = {(failure.cell, failure.part): failure.message for failure in failures}
    curves = plan.config.learning_curves
    for cell in plan.cells:
        values = {
            part: cache.load(plan.identity(cell, part), curves=curves and part.stage == "tuning") for part in plan.parts
        }
        network = next((one.network for one in values.values() if one is not None), "")
        for part, one in values.items():
            place = _Place(plan, cell, part, network)
            if one is None:
                found.gaps.append(_gap(place, reasons))
                continue
            found.table.extend(place.rows(one))
            found.curves.extend(place.curves(one) if curves else ())
            found.spectra.update(place.spectra(one, prefixed=several))
    return found


class _Place(NamedTuple):
    """The labels of a part's values in the results."""

    plan: Plan
    cell: CellName
    part: Part
    network: str

    @property
    def method(self) -> str:
        return {"networks": PRETRAINING, "features": FEATURES}.get(self.part.stage, self.part.method)

    @property
    def group(self) -> tuple[str, str, str, str]:
        """Data, objective, architecture, kind of noise; a library's network has the name of the configuration."""
        own = self.cell.architecture if ":" in self.cell.architecture or not self.network else self.network
        return self.plan.data_label(self.part.task), self.cell.objective, own, self.cell.noise_kind

    def row(self, rate: float, shift: str, metric: str, value: float) -> Row:
        """One number with all its labels."""
        split = "id" if shift == CLEAN_SHIFT else "ood"
        return Row(*self.group, rate, self.method, self.part.shots, split, shift, self.cell.seed, metric, value)

    def rows(self, values: Values) -> Iterator[Row]:
        """All numbers of the part."""
        return (self.row(*number) for number in values.numbers)

    def curves(self, values: Values) -> Iterator[CurveRow]:
        """Loss and accuracies by epoch."""
        return (CurveRow(*self.row(*point[:4]), epoch=point[4]) for point in values.curves or ())

    def spectra(self, values: Values, *, prefixed: bool) -> Mapping[str, NDArray[np.float64]]:
        """Singular values by name."""
        prefix = f"{'/'.join(self.group)}/" if prefixed else ""
        rates = self.plan.config.noise_rates
        return {
            f"{prefix}rate={rate:g}/seed={self.cell.seed}/{'id' if shift == CLEAN_SHIFT else shift}": np.array(row)
            for shift, by_rate in values.spectra.items()
            for rate, row in zip(rates, by_rate, strict=True)
        }


def _gap(place: _Place, reasons: Mapping[tuple[CellName, str], str]) -> Gap:
    spoken = place.plan.spoken(place.part)
    reason = reasons.get((place.cell, spoken)) or reasons.get((place.cell, place.plan.spoken(NETWORKS)))
    return Gap(*place.group, place.method, place.part.shots, place.cell.seed, reason or "it was not computed")
