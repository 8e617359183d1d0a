"""The output folder of a study: its owner, its permission for writing, and the places of its files."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import InputFileError, OutputFolderError
from ..files import read_json, write_file
from .config import StudyConfig

CONFIG_FILE = "config.json"
RESULTS_FILE = "results.json"
TABLES_FILE = "tables.txt"
FAILURES_FILE = "failures.json"
CACHE_FOLDER = "cache"
LOCK_FILE = ".claim.lock"
_PASSING = re.compile(
    rf"\.{re.escape(CONFIG_FILE)}\..*|\.[0-9a-f]{{12}}\.probe"
)  # of others that claim or look right now
REPORT = (
    RESULTS_FILE,
    FAILURES_FILE,
    TABLES_FILE,
    "results.csv",
    "summary.csv",
    "correlations.csv",
    "curves.csv",
    "spectra.safetensors",
    "citation.bib",
    "report.html",
    "figures",
    "tables",
)
"""All files of a report, ``results.json`` first: without it a folder is unfinished."""


def read_claim(path: Path) -> dict[str, Any] | None:
    """The configuration of the study in a folder, or ``None``."""
    try:
        return read_json(path / CONFIG_FILE)
    except InputFileError:
        return None


def is_finished(path: Path, config: StudyConfig) -> bool:
    """Whether a folder holds the whole results of this very study."""
    complete = (path / RESULTS_FILE).exists() and not (path / FAILURES_FILE).exists()
    return complete and read_claim(path) == config.to_dict()


def claim_folder(path: Path, config: StudyConfig, *, resume: bool, force: bool) -> None:
    """Claim the output folder for this study, or raise. Simultaneous claims of several processes wait for each other.

    Raises:
        OutputFolderError: the folder holds another study, an unfinished run without ``resume``, or something else.
    """
    from filelock import FileLock

    if path.exists() and not path.is_dir():
        raise OutputFolderError(f"{str(path)!r} is a file; the output of a study is a folder")
    ours = config.to_dict()
    if resume and read_claim(path) == ours:
        return
    if not force:
        _refuse_foreign(path)
    path.mkdir(parents=True, exist_ok=True)
    with FileLock(path / LOCK_FILE, poll_interval=0.01):
        held = read_claim(path)
        if held is not None and not force:
            _refuse(path, held, ours, resume=resume)
        if held != ours:
            remove_report(path)
        if held != ours or force:
            write_file(path / CONFIG_FILE, (json.dumps(ours, indent=2) + "\n").encode())


def remove_report(path: Path, *, keep: tuple[str, ...] = ()) -> None:
    """Delete the files of a report in a folder, except those to keep; without ``results.json`` it is unfinished."""
    for name in REPORT:
        place = path / name
        for file in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if file.relative_to(path).as_posix() not in keep and not file.is_dir():
                file.unlink(missing_ok=True)
        if place.is_dir() and not any(file.is_file() for file in place.rglob("*")):
            shutil.rmtree(place)


def _refuse_foreign(path: Path) -> None:
    """Raise if the folder has files that are not a study's; another process may be claiming it right now."""
    names = [entry.name for entry in path.iterdir()] if path.is_dir() else []
    foreign = [name for name in names if name != LOCK_FILE and not _PASSING.fullmatch(name)]
    if foreign and read_claim(path) is None:
        raise OutputFolderError(
            f"{str(path)!r} is not empty and holds no study; choose another folder, or add --force to write there"
        )


def _refuse(path: Path, held: Mapping[str, Any], ours: Mapping[str, Any], *, resume: bool) -> None:
    if held != ours:
        different = sorted(key for key in {*held, *ours} if held.get(key) != ours.get(key))
        raise OutputFolderError(
            f"{str(path)!r} holds another study (it differs in {', '.join(f'`{key}`' for key in different)}); "
            f"choose another folder, or add --force to replace it"
        )
    if not resume:
        state = "the results" if (path / RESULTS_FILE).exists() else "an unfinished run"
        raise OutputFolderError(f"{str(path)!r} holds {state} of this study; add --resume to go on with it")
