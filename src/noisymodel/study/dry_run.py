"""An estimate of the time and disk space of a study, from a few steps of each kind of work on this machine."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .cell import Cell, features_of
from .config import StudyConfig
from .data import Examples
from .execution import one_thread
from .part_cache import PartCache
from .plan import Part, Plan, plan
from .pretraining import PretrainingRequest, pretrain, untrained

_STEPS = 3
_ROWS = 256
_BYTES_PER_NUMBER = 130
"""The approximate size of a row of results in JSON and CSV."""
_REPORT_BYTES = 6_000_000


@dataclass(frozen=True)
class Estimate:
    """The remaining work of a study."""

    cells: int
    """Cells of the study."""
    missing_cells: int
    parts: int
    missing_parts: int
    pretraining_seconds: float
    """Pre-training of all missing parts on one core."""
    tuning_seconds: float
    evaluation_seconds: float
    """Features of all test sets."""
    workers: int
    disk_bytes: int
    """Disk space of all cells and the report; during pre-training, checkpoints take three times a network's size."""

    @property
    def seconds(self) -> float:
        """Wall time, if the cells are shared evenly by the workers."""
        rounds = math.ceil(self.missing_cells / self.workers) if self.missing_cells else 0
        one = (self.pretraining_seconds + self.tuning_seconds + self.evaluation_seconds) / max(1, self.missing_cells)
        return rounds * one

    def __str__(self) -> str:
        work = (
            f"pre-training {_spoken(self.pretraining_seconds)}, tuning {_spoken(self.tuning_seconds)}, "
            f"features {_spoken(self.evaluation_seconds)} on one core"
        )
        return "\n".join(
            [
                f"cells: {self.cells}, {self.missing_cells} of them to compute",
                f"parts: {self.parts}, {self.missing_parts} of them to compute",
                f"work:  {work}",
                f"time:  about {_spoken(self.seconds)} with {self.workers} processes (from a few steps of each kind, "
                "timed on this machine just now)",
                f"disk:  about {self.disk_bytes / 1e6:,.0f} MB",
            ]
        )


def estimate(config: StudyConfig, cache: str | Path, *, workers: int) -> Estimate:
    """Measure some steps of each kind of work of a study, and extrapolate.

    Each objective with each architecture pre-trains a few batches on the study's own data, each method tunes one
    epoch, on features of an untrained network. Nothing is written. It takes some seconds for each kind.

    Args:
        config: the study.
        cache: the folder of its finished parts, which take no time.
        workers: the number of processes that will share the cells.

    Raises:
        ConfigError: as for the study.
    """
    planned = plan(config)
    planned.check_packages()
    parts = PartCache(cache)
    missing = {name: planned.missing(name, parts) for name in planned.cells}
    open_cells = {name: lacking for name, lacking in missing.items() if lacking}
    kinds = {name[:2]: Cell(planned, name, parts) for name in reversed(planned.cells)}
    with one_thread():
        costs = {kind: _Costs(kinds[kind]) for kind in {name[:2] for name in open_cells}}
    untrained_yet = [name for name in open_cells if not parts.has_networks(planned.pretraining(name))]
    tuned = [(name[:2], part) for name, lacking in open_cells.items() for part in lacking if part.method]
    return Estimate(
        cells=len(planned.cells),
        missing_cells=len(open_cells),
        parts=len(planned.cells) * len(planned.parts),
        missing_parts=sum(map(len, missing.values())),
        pretraining_seconds=sum(costs[name[:2]].pretraining for name in untrained_yet),
        tuning_seconds=sum(costs[kind].tuning[part] for kind, part in tuned),
        evaluation_seconds=sum(costs[name[:2]].features for name in open_cells),
        workers=max(1, min(workers, len(open_cells))),
        disk_bytes=_disk(planned, kinds),
    )


class _Costs:
    """Seconds of the work of one cell, measured on a sample."""

    def __init__(self, cell: Cell) -> None:
        self.config, self.cell = cell.plan.config, cell
        self.network = untrained(cell.request).eval().requires_grad_(False)
        self.pretraining = self._pretraining()
        self.features = self._features()
        self.tuning = {part: self._tuning(part) for part in cell.plan.parts if part.method}

    def _pretraining(self) -> float:
        request = self.cell.request
        settings = request.config
        batch = settings.batch_size
        steps = settings.epochs * math.ceil(len(request.examples.inputs) / batch)

        def sample(count: int) -> PretrainingRequest:
            examples = _some(request.examples, count * batch)
            config = replace(settings, epochs=1)
            return replace(request, examples=examples, config=config, checkpoints=None, gather=False)

        pretrain(sample(1))  # excludes one-time costs
        done = math.ceil(len(sample(_STEPS).examples.inputs) / batch)
        return _seconds(lambda: pretrain(sample(_STEPS))) * steps / done

    def _features(self) -> float:
        """Seconds for the features of all training and test examples, once for each noise rate."""
        total = 0.0
        for examples in self.cell.all_examples():
            few = _some(examples, _ROWS)
            total += _seconds(lambda few=few: features_of(self.network, few)) * len(examples.inputs) / len(few.inputs)
        return total * len(self.config.noise_rates)

    def _tuning(self, part: Part) -> float:
        """Seconds of tuning, from one measured epoch."""
        method = self.cell.plan.methods[part.method]
        features = features_of(self.network, self.cell.examples_of(part.task).training[part.shots])
        material = self.cell.material(self.network, features, part)
        short = replace(self.config.tuning, epochs=1)
        one = _seconds(lambda: method.fitted(material._replace(tuning=short))) / method.epochs(1)
        return one * method.epochs(self.config.tuning.epochs) * len(self.config.noise_rates)


def _some(examples: Examples, count: int) -> Examples:
    chosen = np.arange(min(count, len(examples.inputs)))
    captions = None if examples.captions is None else examples.captions[chosen]
    return Examples(examples.inputs[chosen], examples.labels[chosen], captions)


def _seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _disk(planned: Plan, kinds: Mapping[tuple[str, ...], Cell]) -> int:
    weights = {
        kind: sum(tensor.nbytes for tensor in untrained(cell.request).state_dict().values())
        for kind, cell in kinds.items()
    }
    config, cells = planned.config, planned.cells
    tests = sum(1 + len(shifts) for shifts in planned.shifts.values())
    numbers = len(config.noise_rates) * tests * (6 * len(planned.methods) * len(config.shots) + 5)
    spectra = len(config.noise_rates) * tests * 20 * 100
    each = numbers * _BYTES_PER_NUMBER * 2 + spectra
    networks = sum(weights[name[:2]] for name in cells) * len(config.noise_rates)
    return networks + each * len(cells) + _REPORT_BYTES


def _spoken(seconds: float) -> str:
    """A length of time in a few words.

    >>> _spoken(42), _spoken(180), _spoken(9000)
    ('42 s', '3 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
