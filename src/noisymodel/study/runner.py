"""The run of a study: plan, claim the folder, execute, collect, write the report."""

from __future__ import annotations

import json
import tempfile
import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._checks import check_choice
from ..errors import StudyError, StudyWarning, check_extra
from ..files import write_file
from .collect import Collected, collect
from .config import StudyConfig
from .execution import BACKENDS, Shard, execute
from .failures import Failure
from .identity import made_with
from .methods import method_notes
from .output_folder import CACHE_FOLDER, CONFIG_FILE, FAILURES_FILE, claim_folder
from .part_cache import PartCache
from .plan import Plan, plan
from .pretraining.pretrain import training_device
from .rows import FEATURES, PRETRAINING, Row, StudyRecord

_SAMPLES = 8


class StudyResult(NamedTuple):
    """The result of a study."""

    table: list[dict[str, Any]]
    """The rows of ``results.csv``: one dictionary per number."""
    spectra: dict[str, NDArray[np.float64]]
    """``"rate=0.05/seed=7000/id"`` -> singular values of the frozen features of that test set, descending."""
    path: Path | None
    """The output folder, or ``None`` if nothing was written."""


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
    """Run a study: pre-train with noisy labels, tune, evaluate in and out of domain, measure the spectra.

    Args:
        config: a configuration, its keys, or a path to a TOML, YAML or JSON file; ``None`` for the default study.
        out: folder for ``results.csv``, ``summary.csv``, ``results.json``, ``spectra.safetensors``, ``config.json``,
            ``figures/`` and ``report.html``; ``None`` writes nothing.
        resume: continue an unfinished run of the same study in ``out``; of a finished run write the report again.
        force: replace another study in ``out``.
        cache: folder of finished parts, which several studies may share at the same time; by default ``cache`` inside
            ``out``. A part is stored under the hash of everything that its values depend on.
        workers: number of processes; ``None`` for one per core, at most one per cell; 1 computes in this process.
            Results do not depend on it.
        progress: whether to show a progress bar on stderr.
        backend: ``"processes"``, or ``"ray"`` for a Ray task per cell, ``workers`` of them at once (extra ``ray``; the
            folder of parts must be shared by all nodes).

    Returns:
        :class:`StudyResult`. Same configuration, same machine: the same table to the bit.

    Raises:
        ConfigError: an error in the configuration; the message is one line that names the key.
        OutputFolderError: ``out`` holds something else.
        StudyError: every method failed.
        MissingExtraError: the report needs packages of the extra ``study``.

    Warns:
        StudyWarning: some parts failed. They are gaps in the tables, and comparisons that lack a seed are left out;
            ``failures.json`` has the errors, and ``resume`` tries them again.

    >>> from noisymodel import study
    >>> tiny = {"data": "digits", "seeds": [0], "noise_rates": [0, 0.3], "methods": ["linear_probe"],
    ...         "shots": 5, "pretraining": {"epochs": 1}, "tuning": {"epochs": 1}}
    >>> result = study.run(tiny, workers=1)
    >>> sorted({row["method"] for row in result.table})
    ['features', 'linear_probe', 'pretraining']
    """
    planned = plan(_as_config(config))
    _check_machine(planned, backend)
    began = time.monotonic()
    path = None if out is None else Path(out).absolute()
    if path is not None:
        for package in ("matplotlib", "jinja2"):
            check_extra(package, extra="study", purpose="the study's report")
        claim_folder(path, planned.config, resume=resume, force=force)
    temporary = tempfile.TemporaryDirectory(prefix="noisymodel-") if path is None else nullcontext(path / CACHE_FOLDER)
    with temporary as folder:
        parts = PartCache(cache or folder)
        failures = execute(planned, parts, workers=workers, progress=progress, backend=backend)
        if path is not None:
            _write_failures(path, failures)
        collected = collect(planned, parts, failures)
    _report_failures(failures, collected.table)
    if path is not None:
        from .report import write_report  # needs the extra, and nothing before did

        write_report(path, make_record(planned, collected, seconds=time.monotonic() - began, failures=failures))
    table = [row._asdict() for row in collected.table]
    return StudyResult(table, collected.spectra, None if out is None else Path(out))


def run_shard(
    config: StudyConfig,
    out: str | Path,
    shard: Shard,
    *,
    cache: str | Path | None = None,
    workers: int | None = None,
    progress: bool = False,
) -> list[Failure]:
    """Compute one shard of a study's cells into ``out``; ``run(..., resume=True)`` writes the report when all are done.

    Shards may run at the same time on machines that share the folder. The failures are returned.

    Raises:
        ConfigError, OutputFolderError: as `run`.
    """
    planned = plan(config)
    _check_machine(planned, "processes")
    path = Path(out)
    claim_folder(path, config, resume=True, force=False)
    return execute(planned, PartCache(cache or path / CACHE_FOLDER), workers=workers, progress=progress, shard=shard)


def _write_failures(path: Path, failures: Sequence[Failure]) -> None:
    if not failures:
        (path / FAILURES_FILE).unlink(missing_ok=True)
        return
    content = [{**failure.cell._asdict(), **failure._asdict(), "cell": str(failure.cell)} for failure in failures]
    write_file(path / FAILURES_FILE, (json.dumps(content, indent=2) + "\n").encode())


def _report_failures(failures: Sequence[Failure], table: Sequence[Row]) -> None:
    """Raise if no method has a result, otherwise warn of the failures."""
    if not failures:
        return
    if not any(row.method not in (PRETRAINING, FEATURES) for row in table):
        raise StudyError(f"every method failed, the first with: {failures[0]}")
    message = f"{len(failures)} parts failed and are gaps in the results, the first with: {failures[0]}"
    warnings.warn(message, StudyWarning, stacklevel=3)


def _as_config(config: StudyConfig | Mapping[str, Any] | str | Path | None) -> StudyConfig:
    if config is None:
        return StudyConfig()
    if isinstance(config, StudyConfig):
        return config
    return StudyConfig.from_mapping(config) if isinstance(config, Mapping) else StudyConfig.load(config)


def _check_machine(planned: Plan, backend: str) -> None:
    """Check the packages, the backend and, if this machine computes, the device.

    Raises:
        ConfigError, MissingExtraError: one of them is missing.
        ValueError: an unknown backend.
    """
    planned.check_packages()
    check_choice(backend, "backend", BACKENDS)
    if backend == "ray":
        check_extra("ray", extra="ray", purpose="a study as Ray tasks")
    else:
        training_device(planned.config.pretraining.device)


# ---- the record ------------------------------------------------------------------------------------------------------


def make_record(
    planned: Plan, collected: Collected, *, seconds: float, failures: Sequence[Failure] = ()
) -> StudyRecord:
    """Make the record from which the report is written."""
    source = planned.source
    reported = {name for names in planned.shifts.values() for name in names}
    return StudyRecord(
        config=planned.config.to_dict(),
        methods=method_notes(planned.methods),
        shifts=tuple(note for note in source.shifts if note.role != "report" or note.name in reported),
        data_title=source.title,
        data_description=source.description,
        table=tuple(collected.table),
        spectra=collected.spectra,
        samples=source.samples(_SAMPLES),
        command=f"noisymodel study --config {CONFIG_FILE}",
        versions=made_with(),
        seconds=seconds,
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        remarks=source.remarks,
        curves=tuple(collected.curves),
        failures=tuple(map(str, failures)),
        gaps=tuple(collected.gaps),
    )
