"""The output folder of a study: whose it is, whether it may be written to, and where things lie in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import OutputFolderError
from ..files import write_file
from .config import StudyConfig

CONFIG_FILE = "config.json"
RESULTS_FILE = "results.json"
TABLES_FILE = "tables.txt"
FAILURES_FILE = "failures.json"
CACHE_FOLDER = "cache"


def read_claim(path: Path) -> dict[str, Any] | None:
    """The configuration of the study that a folder holds, or ``None``."""
    try:
        return json.loads((path / CONFIG_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def is_finished(path: Path, config: StudyConfig) -> bool:
    """Whether a folder holds the whole results of this very study."""
    whole = (path / RESULTS_FILE).exists() and not (path / FAILURES_FILE).exists()
    return whole and read_claim(path) == config.to_dict()


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
        (path / FAILURES_FILE).unlink(missing_ok=True)
    write_file(path / CONFIG_FILE, (json.dumps(ours, indent=2) + "\n").encode())
