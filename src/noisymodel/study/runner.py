"""A study from its configuration to its folder: claim the folder, compute what is missing, write the report."""

from __future__ import annotations

import json
import platform
import tempfile
import time
import warnings
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._checks import check_choice
from ..errors import MissingExtraError, StudyError, StudyWarning
from ..files import write_file
from .cells import Cell
from .computing import BACKENDS, Shard, compute
from .config import StudyConfig
from .data import open_source, reported_shifts
from .failures import Failure
from .folder import CACHE_FOLDER, CONFIG_FILE, FAILURES_FILE, TABLES_FILE, claim_folder
from .grid import cell_names
from .methods import chosen_methods, method_notes
from .record import CurveRow, Row, StudyRecord
from .storage import Storage

_SAMPLES = 8


class StudyResult(NamedTuple):
    """What a study found."""

    table: list[dict[str, Any]]
    """The rows of ``results.csv``: one dictionary per number."""
    spectra: dict[str, NDArray[np.float64]]
    """``"rate=0.05/seed=7000/id"`` -> singular values of the frozen features of that test set, descending."""
    path: Path | None
    """The output folder, ``None`` where nothing was to be written."""


def run(
    config: StudyConfig | Mapping[str, Any] | str | Path | None = None,
    out: str | Path | None = None,
    *,
    resume: bool = False,
    force: bool = False,
    cache: str | Path | None = None,
    workers: int | None = None,
    progress: bool = False,
    backend: str = "processes",
) -> StudyResult:
    """Run a study: pre-train with noisy labels, tune, evaluate in and out of domain, look at the spectra.

    Args:
        config: a configuration, its keys, or a path to a TOML, YAML or JSON file; ``None`` for the default study.
        out: folder for ``results.csv``, ``summary.csv``, ``results.json``, ``spectra.safetensors``, ``config.json``,
            ``figures/`` and ``report.html``; ``None`` writes nothing.
        resume: go on with an unfinished run of this same study in ``out``; write the report of a finished one anew.
        force: replace another study in ``out``.
        cache: folder of finished parts, which later studies may share; ``cache`` inside ``out`` unless given. Parts are
            named by the hash of all they depend on, the library's code included.
        workers: number of processes; ``None`` for one per core, at most one per cell; 1 computes in this process.
            Results do not depend on it.
        progress: whether to show a progress bar on stderr.
        backend: ``"processes"``, or ``"ray"`` for a Ray task per cell, ``workers`` of them at once (extra ``ray``; the
            folder of parts must be shared by all nodes).

    Returns:
        :class:`StudyResult`. Same configuration, same machine: the same table to the bit.

    Raises:
        ConfigError: something is wrong with the configuration; one line that names the key.
        OutputFolderError: ``out`` holds something else.
        StudyError: every cell failed.
        MissingExtraError: the report needs packages of the extra ``study``.

    Warns:
        StudyWarning: some cells failed. They are left out of the results, ``failures.json`` has their errors; what was
            finished of them is kept, and ``resume`` tries the rest again.

    >>> from noisymodel import study
    >>> tiny = {"data": "digits", "seeds": [0], "noise_rates": [0, 0.3], "methods": ["linear_probe"],
    ...         "shots": 5, "pretraining": {"epochs": 1}, "tuning": {"epochs": 1}}
    >>> result = study.run(tiny, workers=1)
    >>> sorted({row["metric"] for row in result.table})[:2]
    ['accuracy', 'clean_accuracy']
    """
    chosen = _as_config(config)
    check_study(chosen)
    check_backend(backend)
    if out is None:
        with tempfile.TemporaryDirectory(prefix="noisymodel-") as folder:
            storage = Storage(Path(cache) if cache is not None else Path(folder))
            failures = compute(chosen, storage, workers=workers, progress=progress, backend=backend)
            table, spectra = _collect(chosen, storage)
        _report_failures(failures, table)
        return StudyResult([row._asdict() for row in table], spectra, None)

    _check_report_packages()
    began = time.monotonic()
    path = Path(out)
    claim_folder(path, chosen, resume=resume, force=force)
    storage = Storage(Path(cache) if cache is not None else path / CACHE_FOLDER)
    failures = compute(chosen, storage, workers=workers, progress=progress, backend=backend)
    _write_failures(path, failures)
    table, spectra = _collect(chosen, storage)
    _report_failures(failures, table)
    from .report import terminal_tables, write_report  # needs the extra, and nothing before did

    seconds = time.monotonic() - began
    curves = _collect_curves(chosen, storage)
    record = make_record(chosen, table, spectra, seconds=seconds, failures=failures, curves=curves)
    write_file(path / TABLES_FILE, (terminal_tables(record) + "\n").encode())
    write_report(path, record)
    return StudyResult([row._asdict() for row in table], spectra, path)


def run_shard(
    config: StudyConfig | Mapping[str, Any] | str | Path | None,
    out: str | Path,
    shard: Shard,
    *,
    cache: str | Path | None = None,
    workers: int | None = None,
    progress: bool = False,
) -> list[Failure]:
    """Compute one shard of a study's cells into ``out``; ``run(..., resume=True)`` writes the report when all are done.

    Shards may run at the same time on machines that share the folder. What failed is returned.

    Raises:
        ConfigError, OutputFolderError: as `run`.
    """
    chosen = _as_config(config)
    check_study(chosen)
    path = Path(out)
    claim_folder(path, chosen, resume=True, force=False)
    storage = Storage(Path(cache) if cache is not None else path / CACHE_FOLDER)
    return compute(chosen, storage, workers=workers, progress=progress, shard=shard)


def _write_failures(path: Path, failures: Sequence[Failure]) -> None:
    if not failures:
        (path / FAILURES_FILE).unlink(missing_ok=True)
        return
    content = [{**failure.cell._asdict(), **failure._asdict(), "cell": str(failure.cell)} for failure in failures]
    write_file(path / FAILURES_FILE, (json.dumps(content, indent=2) + "\n").encode())


def _report_failures(failures: Sequence[Failure], table: Sequence[Row]) -> None:
    """An error where nothing is left, otherwise a warning."""
    if not failures:
        return
    if not table:
        raise StudyError(f"every cell failed, the first with: {failures[0]}")
    cells = len({failure.cell for failure in failures})
    warnings.warn(f"{cells} cells failed and are left out, the first with: {failures[0]}", StudyWarning, stacklevel=3)


def _as_config(config: StudyConfig | Mapping[str, Any] | str | Path | None) -> StudyConfig:
    if config is None:
        return StudyConfig()
    if isinstance(config, StudyConfig):
        return config
    return StudyConfig.from_mapping(config) if isinstance(config, Mapping) else StudyConfig.load(config)


def check_study(config: StudyConfig) -> None:
    """Everything about a configuration that can be known before computing.

    Raises:
        ConfigError: a name or a size that does not fit the source.
    """
    reported_shifts(config)
    chosen_methods(config)
    cell_names(config)


def check_backend(backend: str) -> None:
    """A known name whose packages are installed.

    Raises:
        ValueError: an unknown name.
        MissingExtraError: Ray is not installed.
    """
    check_choice(backend, "backend", BACKENDS)
    if backend == "ray" and find_spec("ray") is None:
        raise MissingExtraError("ray", extra="ray", purpose="a study as Ray tasks")


def _check_report_packages() -> None:
    for package in ("matplotlib", "jinja2"):
        if find_spec(package) is None:
            raise MissingExtraError(package, extra="study", purpose="the study's report")


# ---- what there is ---------------------------------------------------------------------------------------------------


def _collect(config: StudyConfig, storage: Storage) -> tuple[list[Row], dict[str, NDArray[np.float64]]]:
    """The rows and spectra of all cells that are whole."""
    table: list[Row] = []
    spectra: dict[str, NDArray[np.float64]] = {}
    groups = len({name[:3] for name in cell_names(config)}) * len(reported_shifts(config))
    for name in cell_names(config):
        cell = Cell(config, name, storage)
        if cell.missing():
            continue
        rows = list(cell.rows())
        table += rows
        measures = cell.measures() or {}
        for task, found in measures["spectra"].items():
            first = next(row for row in rows if row.data.endswith(task) or len(cell.tasks) == 1)
            prefix = f"{'/'.join(first[:4])}/" if groups > 1 else ""
            spectra |= {prefix + place: np.array(values) for place, values in found.items()}
    return table, spectra


def _collect_curves(config: StudyConfig, storage: Storage) -> list[CurveRow]:
    """The learning curves of all cells that are whole."""
    if not config.learning_curves:
        return []
    cells = [Cell(config, name, storage) for name in cell_names(config)]
    return [row for cell in cells if not cell.missing() for row in cell.curves()]


# ---- the record ------------------------------------------------------------------------------------------------------


def make_record(
    config: StudyConfig,
    table: list[Row],
    spectra: Mapping[str, NDArray[np.float64]],
    *,
    seconds: float,
    failures: Sequence[Failure] = (),
    curves: Sequence[CurveRow] = (),
) -> StudyRecord:
    """All that the report is written from."""
    source = open_source(config, config.seeds[0])
    packages = ("noisymodel", "torch", "numpy", "scipy", "scikit-learn")
    return StudyRecord(
        config=config.to_dict(),
        methods=method_notes(config),
        shifts=source.shifts,
        data_title=source.title,
        data_description=source.description,
        table=tuple(table),
        spectra=spectra,
        samples=source.samples(_SAMPLES),
        command=f"noisymodel study --config {CONFIG_FILE}",
        versions={"python": platform.python_version(), **{name: version(name) for name in packages}},
        seconds=seconds,
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        remarks=source.remarks,
        curves=tuple(curves),
        failures=tuple(map(str, failures)),
    )
