"""Collection of stored parts into the rows of results, with the names of data, network, task and method."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .failures import Failure
from .part_cache import PartCache
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
    for cell in plan.cells:
        stored = {part: plan.stored(cell, part, cache) for part in plan.parts}
        network = next((values.network for values in stored.values() if values is not None), "")
        for part, values in stored.items():
            group = _group(plan, cell, part, network)
            method = {"networks": PRETRAINING, "features": FEATURES}.get(part.stage, part.method)
            if values is None:
                reason = reasons.get((cell, plan.spoken(part))) or reasons.get((cell, plan.spoken(NETWORKS)))
                gap = Gap(*group, method, part.shots, cell.seed, reason or "it was not computed")
                found.gaps.append(gap)
                continue
            row = partial(_row, group, method, part.shots, cell.seed)
            found.table.extend(row(*number) for number in values.numbers)
            if plan.config.learning_curves:
                found.curves.extend(CurveRow(*row(*point[:4]), epoch=point[4]) for point in values.curves or ())
            prefix = f"{'/'.join(group)}/" if several else ""
            for shift, by_rate in values.spectra.items():
                test = "id" if shift == CLEAN_SHIFT else shift
                for rate, singular_values in zip(plan.config.noise_rates, by_rate, strict=True):
                    name = f"{prefix}rate={rate:g}/seed={cell.seed}/{test}"
                    found.spectra[name] = np.array(singular_values)
    return found


_Group = tuple[str, str, str, str]


def _group(plan: Plan, cell: CellName, part: Part, network: str) -> _Group:
    """Data, objective, architecture, kind of noise; a library's network has the name of the configuration."""
    own = cell.architecture if ":" in cell.architecture or not network else network
    return plan.data_label(part.task), cell.objective, own, cell.noise_kind


def _row(group: _Group, method: str, shots: int, seed: int, rate: float, shift: str, metric: str, value: float) -> Row:
    split = "id" if shift == CLEAN_SHIFT else "ood"
    return Row(*group, rate, method, shots, split, shift, seed, metric, value)
