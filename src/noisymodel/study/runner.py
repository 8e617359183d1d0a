"""A study from its configuration to its folder: claim the folder, compute what is missing, write the report."""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from .._files import replace_file
from ..errors import MissingExtraError, OutputFolderError
from .cells import Cell
from .config import StudyConfig
from .data import open_source, reported_shifts
from .methods import chosen_methods, method_notes
from .record import Row, StudyRecord
from .storage import Storage
from .workers import run_in_processes

CONFIG_FILE = "config.json"
RESULTS_FILE = "results.json"
TABLES_FILE = "tables.txt"
CACHE_FOLDER = "cache"
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
        workers: number of processes; ``None`` for one per core, at most one per seed; 1 computes in this process.
            Results do not depend on it.
        progress: whether to show a progress bar on stderr.

    Returns:
        :class:`StudyResult`. Same configuration, same machine: the same table to the bit.

    Raises:
        ConfigError: something is wrong with the configuration; one line that names the key.
        OutputFolderError: ``out`` holds something else.
        StudyError: a part of the study failed.
        MissingExtraError: the report needs packages of the extra ``study``.

    >>> from noisymodel import study
    >>> tiny = {"data": "digits", "seeds": [0], "noise_rates": [0, 0.3], "methods": ["linear_probe"],
    ...         "shots": 5, "pretraining": {"epochs": 1}, "tuning": {"epochs": 1}}
    >>> result = study.run(tiny, workers=1)
    >>> sorted({row["metric"] for row in result.table})[:2]
    ['accuracy', 'clean_accuracy']
    """
    chosen = _as_config(config)
    check_study(chosen)
    if out is None:
        with tempfile.TemporaryDirectory(prefix="noisymodel-") as folder:
            storage = Storage(Path(cache) if cache is not None else Path(folder))
            _compute(chosen, storage, workers, progress)
            table, spectra = _collect(chosen, storage)
        return StudyResult([row._asdict() for row in table], spectra, None)

    _check_report_packages()
    began = time.monotonic()
    path = Path(out)
    claim_folder(path, chosen, resume=resume, force=force)
    storage = Storage(Path(cache) if cache is not None else path / CACHE_FOLDER)
    _compute(chosen, storage, workers, progress)
    table, spectra = _collect(chosen, storage)
    from .report import terminal_tables, write_report  # needs the extra, and nothing before did

    record = make_record(chosen, table, spectra, seconds=time.monotonic() - began)
    replace_file(path / TABLES_FILE, (terminal_tables(record) + "\n").encode())
    write_report(path, record)
    return StudyResult([row._asdict() for row in table], spectra, path)


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


def _check_report_packages() -> None:
    for package in ("matplotlib", "jinja2"):
        if find_spec(package) is None:
            raise MissingExtraError(package, extra="study", purpose="the study's report")


# ---- the folder ------------------------------------------------------------------------------------------------------


def read_claim(path: Path) -> dict[str, Any] | None:
    """The configuration of the study that a folder holds, or ``None``."""
    try:
        return json.loads((path / CONFIG_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def is_finished(path: Path, config: StudyConfig) -> bool:
    """Whether a folder holds the whole results of this very study."""
    return read_claim(path) == config.to_dict() and (path / RESULTS_FILE).exists()


def claim_folder(path: Path, config: StudyConfig, *, resume: bool, force: bool) -> None:
    """Make the output folder this study's, or refuse.

    Raises:
        OutputFolderError: the folder holds another study, an unfinished run without ``resume``, or something else.
    """
    if path.exists() and not path.is_dir():
        raise OutputFolderError(f"{str(path)!r} is a file; the output of a study is a folder")
    held, ours = read_claim(path), config.to_dict()
    if not force:
        if held is None and path.is_dir() and any(path.iterdir()):
            raise OutputFolderError(
                f"{str(path)!r} is not empty and holds no study; choose another folder, or add --force to write there"
            )
        if held is not None and held != ours:
            different = sorted(key for key in {*held, *ours} if held.get(key) != ours.get(key))
            raise OutputFolderError(
                f"{str(path)!r} holds another study (it differs in {', '.join(f'`{key}`' for key in different)}); "
                f"choose another folder, or add --force to replace it"
            )
        if held is not None and not resume:
            state = "the results" if (path / RESULTS_FILE).exists() else "an unfinished run"
            raise OutputFolderError(f"{str(path)!r} holds {state} of this study; add --resume to go on with it")
    if held != ours:
        (path / RESULTS_FILE).unlink(missing_ok=True)  # from here on the folder is unfinished, not the other study's
    replace_file(path / CONFIG_FILE, (json.dumps(ours, indent=2) + "\n").encode())


# ---- computing -------------------------------------------------------------------------------------------------------


def _compute(config: StudyConfig, storage: Storage, workers: int | None, progress: bool) -> None:
    """Compute all parts that the storage lacks."""
    missing = [seed for seed in config.seeds if not _is_complete(Cell(config, seed, storage))]
    parts = len(missing) * (1 + len(chosen_methods(config)))
    count = min(workers or os.cpu_count() or 1, len(missing))
    pause = 0.1 if sys.stderr.isatty() else 10.0  # seconds between updates: a log file needs few
    with tqdm(total=parts, desc="study", unit="part", disable=not progress or not missing, mininterval=pause) as bar:

        def tell(part: str) -> None:
            bar.set_postfix_str(part, refresh=False)
            bar.update()

        if count > 1:
            run_in_processes(config, missing, storage, count, tell)
        else:
            with _one_thread():
                for seed in missing:
                    Cell(config, seed, storage).compute(tell)


def _is_complete(cell: Cell) -> bool:
    try:
        return bool(list(cell.rows()))
    except LookupError:
        return False


@contextmanager
def _one_thread() -> Generator[None]:
    """As in a worker process: sums of one thread do not depend on the number of cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _collect(config: StudyConfig, storage: Storage) -> tuple[list[Row], dict[str, NDArray[np.float64]]]:
    table: list[Row] = []
    spectra: dict[str, NDArray[np.float64]] = {}
    for seed in config.seeds:
        cell = Cell(config, seed, storage)
        table += cell.rows()
        spectra |= {name: np.array(values) for name, values in (cell.measures() or {})["spectra"].items()}
    return table, spectra


# ---- the record ------------------------------------------------------------------------------------------------------


def make_record(
    config: StudyConfig, table: list[Row], spectra: Mapping[str, NDArray[np.float64]], *, seconds: float
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
    )
