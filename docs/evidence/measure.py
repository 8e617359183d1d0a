"""Fits that are made once: a record for each cell and method, with what was predicted for every test row."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.special import log_softmax

from .cells import Cell, split
from .methods import ALL, version


class Test(NamedTuple):
    """What a method said of the rows of one test."""

    labels: np.ndarray
    groups: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray
    log_likelihood: np.ndarray  # of the true label; NaN where there are no probabilities

    @property
    def correct(self) -> np.ndarray:
        """(N,) bool."""
        return self.predicted == self.labels


class Record(NamedTuple):
    """One fit."""

    cell: Cell
    method: str
    version: str
    rows: int
    seconds: float
    tests: dict[str, Test]


def measure(cell: Cell, method: str, cache: Path) -> Record | None:
    """The record of a fit, from the cache or made now; None where the method does not take so many rows."""
    path = _path(cell, method, version(method), cache)
    if path.exists():
        return read_record(path)
    dealt = split(cell, cache)
    features, labels, _ = dealt.training
    how = ALL[method]
    if how.largest is not None and len(labels) > how.largest:
        return None
    began = time.process_time()
    scores = how.fit(features, labels, dealt.num_classes, cell.seed)
    seconds = time.process_time() - began
    tests: dict[str, Test] = {}
    for name, part in dealt.tests.items():
        found = scores(part.features)
        logs = log_softmax(found, axis=1)
        missing = np.full(len(found), np.nan)
        own = logs[np.arange(len(logs)), part.labels]
        tests[name] = Test(
            part.labels,
            part.groups,
            found.argmax(axis=1),
            np.exp(logs.max(axis=1)) if how.probabilities else missing,
            own if how.probabilities else missing,
        )
    record = Record(cell, method, version(method), len(labels), seconds, tests)
    _write(path, record)
    return record


def stored(cell: Cell, method: str, cache: Path, *, stale: bool) -> Record | None:
    """A record that is there; with ``stale`` also the newest of an older version of the method."""
    path = _path(cell, method, version(method), cache)
    if path.exists():
        return read_record(path)
    older = sorted(path.parent.glob(f"{method}~*.npz"), key=lambda p: p.stat().st_mtime) if stale else []
    return read_record(older[-1]) if older else None


def _path(cell: Cell, method: str, of: str, cache: Path) -> Path:
    return cache / "records" / cell.key / f"{method}~{of}.npz"


_DTYPES = {
    "labels": "uint8",
    "groups": "int32",
    "predicted": "uint8",
    "confidence": "float32",
    "log_likelihood": "float32",
}


def _write(path: Path, record: Record) -> None:
    columns = {
        f"{name}/{field}": value.astype(_DTYPES[field])
        for name, test in record.tests.items()
        for field, value in test._asdict().items()
    }
    told = {"cell": record.cell, "method": record.method, "version": record.version, "rows": record.rows}
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".new")
    with beside.open("wb") as file:
        np.savez_compressed(file, told=np.array(json.dumps({**told, "seconds": record.seconds})), **columns)
    beside.rename(path)


def read_record(path: Path) -> Record:
    """A record from its file."""
    with np.load(path) as file:
        told: dict[str, Any] = json.loads(str(file["told"]))
        names = list(dict.fromkeys(key.rpartition("/")[0] for key in file.files if "/" in key))
        tests = {name: Test(*(file[f"{name}/{field}"] for field in Test._fields)) for name in names}
    return Record(Cell(*told["cell"]), told["method"], told["version"], told["rows"], told["seconds"], tests)


def run(cells: list[Cell], methods: list[str], cache: Path, minutes: float | None) -> Iterator[Record]:
    """All fits in turn, until the time is spent; what is there already costs none."""
    end = None if minutes is None else time.monotonic() + 60 * minutes
    for cell in cells:
        for method in methods:
            if end is not None and time.monotonic() > end:
                print("the time is spent; the same command goes on from here")
                return
            record = measure(cell, method, cache)
            if record is not None:
                yield record
