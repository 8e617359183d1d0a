"""What a study will take, measured by a few steps of each kind of work on this machine."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from .cells import Cell, Part
from .computing import one_thread
from .config import StudyConfig
from .data import Examples, batches
from .grid import CellName, cell_names
from .pretraining import Network, PretrainingRequest, pretrain, untrained
from .record import PRETRAINING
from .storage import Storage

_STEPS = 3
_ROWS = 256
_BYTES_PER_NUMBER = 130
"""Of a row of results in JSON and CSV, roughly."""
_REPORT_BYTES = 6_000_000


@dataclass(frozen=True)
class Estimate:
    """What is still to be computed of a study."""

    cells: int
    """Cells of the study."""
    missing_cells: int
    parts: int
    missing_parts: int
    pretraining_seconds: float
    """On one core, of all that is missing."""
    tuning_seconds: float
    evaluation_seconds: float
    """Features of all test sets."""
    workers: int
    disk_bytes: int
    """Of all cells, the report included; while networks are pre-trained, checkpoints take three times their size."""

    @property
    def seconds(self) -> float:
        """Wall time with so many workers, if the cells share them evenly."""
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


def estimate(config: StudyConfig, storage: Storage, *, workers: int) -> Estimate:
    """Time some steps of each kind of work of a study, and multiply.

    Each objective with each architecture pre-trains a few batches on the study's own data, each method tunes one
    epoch, on features of an untrained network. Nothing is written. It takes some seconds for each kind.

    Args:
        config: the study.
        storage: where its finished parts are; they cost nothing.
        workers: processes that will share the cells.

    Raises:
        ConfigError: as of the study.
    """
    names = cell_names(config)
    cells = [Cell(config, name, storage) for name in names]
    missing = {cell.name: cell.missing() for cell in cells}
    kinds = list(dict.fromkeys(name[:2] for name, parts in missing.items() if parts))
    with one_thread():
        costs = {kind: _Costs(config, next(cell for cell in cells if cell.name[:2] == kind)) for kind in kinds}
    first = cells[0]
    parts_of_a_cell = 1 + len(list(first.parts))
    totals = {"pretraining": 0.0, "evaluation": 0.0, "tuning": 0.0}
    for name, parts in missing.items():
        if not parts:
            continue
        cost = costs[name[:2]]
        stored = storage.has_tensors("pretraining", next(c for c in cells if c.name == name).pretraining_key)
        totals["pretraining"] += 0.0 if stored else cost.pretraining
        totals["evaluation"] += cost.features
        totals["tuning"] += sum(cost.tuning[part] for part in parts if part != PRETRAINING)
    return Estimate(
        cells=len(names),
        missing_cells=sum(bool(parts) for parts in missing.values()),
        parts=len(names) * parts_of_a_cell,
        missing_parts=sum(map(len, missing.values())),
        pretraining_seconds=totals["pretraining"],
        tuning_seconds=totals["tuning"],
        evaluation_seconds=totals["evaluation"],
        workers=max(1, min(workers, sum(bool(parts) for parts in missing.values()))),
        disk_bytes=_disk(config, names, cells),
    )


class _Costs:
    """Seconds of the work of one cell, by a sample of it."""

    def __init__(self, config: StudyConfig, cell: Cell) -> None:
        self.config, self.cell = config, cell
        self.network = untrained(cell.request).eval().requires_grad_(False)
        self.pretraining = self._pretraining()
        self.features = self._features()
        self.tuning = {cell.spoken(part): self._tuning(part) for part in cell.parts}

    def _pretraining(self) -> float:
        request = self.cell.request
        settings = request.settings
        batch = settings.batch_size
        steps = settings.epochs * math.ceil(len(request.examples.inputs) / batch)

        def sample(count: int) -> PretrainingRequest:
            config = replace(settings, epochs=1, overrides={})
            examples = _some(request.examples, count * batch)
            return replace(request, examples=examples, config=config, checkpoints=None, gather=False)

        pretrain(sample(1))  # whatever is made once
        done = math.ceil(len(sample(_STEPS).examples.inputs) / batch)
        return _seconds(lambda: pretrain(sample(_STEPS))) * steps / done

    def _features(self) -> float:
        """Of all training and test examples, once for each noise rate."""
        total = 0.0
        for task in self.cell.tasks:
            for examples in self.cell.examples_of(task):
                rows = len(examples.inputs)
                few = _some(examples, _ROWS)
                with torch.no_grad():
                    spent = _seconds(lambda few=few: [self.network.features(batch) for batch in batches(few.inputs)])
                total += spent * rows / len(few.inputs)
        return total * len(self.config.noise_rates)

    def _tuning(self, part: Part) -> float:
        method = self.cell.methods[part.method]
        tuning = self.config.tuning
        material = self.cell.material_of(self.network, part)._replace(tuning=replace(tuning, epochs=1))
        one = _seconds(lambda: method.fitted(material))
        return one * tuning.epochs * len(self.config.noise_rates)


def _some(examples: Examples, count: int) -> Examples:
    chosen = np.arange(min(count, len(examples.inputs)))
    captions = None if examples.captions is None else examples.captions[chosen]
    return Examples(examples.inputs[chosen], examples.labels[chosen], captions)


def _seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _disk(config: StudyConfig, names: tuple[CellName, ...], cells: list[Cell]) -> int:
    weights: dict[tuple[str, ...], int] = {}
    for cell in cells:
        if cell.name[:2] not in weights:
            network: Network = untrained(cell.request)
            weights[cell.name[:2]] = sum(tensor.nbytes for tensor in network.state_dict().values())
    tests = sum(1 + len(shifts) for shifts in cells[0].shifts.values())
    numbers = len(config.noise_rates) * tests * (len(cells[0].methods) * len(config.shots) + 5)
    spectra = len(config.noise_rates) * tests * 20 * 100
    each = numbers * _BYTES_PER_NUMBER * 2 + spectra
    networks = sum(weights[name[:2]] for name in names) * len(config.noise_rates)
    return networks + each * len(names) + _REPORT_BYTES


def _spoken(seconds: float) -> str:
    """A length of time in a few words.

    >>> _spoken(42), _spoken(180), _spoken(9000)
    ('42 s', '3 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
