"""Paths and devices as commands are given them, checked before the work."""

from __future__ import annotations

import contextlib
import os
import secrets
from difflib import get_close_matches
from pathlib import Path

from ..errors import ConfigError, InputFileError, OutputFolderError

FEATURE_FILES = "a feature store's folder, .npy, .npz, .safetensors, .parquet (or a folder of them), .csv or .tsv"
_MADE: list[Path] = []  # folders that this process made for its output, the innermost first


def existing(path: str | Path) -> Path:
    """A path that is there.

    Raises:
        InputFileError: it is not there; a name that is alike, in the same folder, is said.
    """
    found = Path(path)
    try:
        if found.exists():
            return found
        alike = get_close_matches(found.name, [one.name for one in found.parent.iterdir()], n=1)
    except (FileNotFoundError, NotADirectoryError):
        raise InputFileError(f"there is no file {found}, nor a folder {found.parent}") from None
    except (OSError, ValueError) as error:
        raise InputFileError(f"{found} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    hint = f": did you mean {found.with_name(alike[0])}?" if alike else ""
    raise InputFileError(f"there is no file {found}{hint}")


def classifier_folder(path: str | Path) -> Path:
    """The folder of a saved classifier, which `noisymodel tune --out DIR` writes as DIR/model.

    Raises:
        InputFileError: it is not there, or the folder above it was named.
    """
    folder = existing(path)
    if not (folder / "classifier.json").exists() and (folder / "model" / "classifier.json").exists():
        raise InputFileError(f"{folder} is no classifier's folder: did you mean {folder / 'model'}?")
    return folder


def make_output_folder(path: str | Path, *, option: str = "--out") -> Path:
    """A folder to write into, made before the work; the guard takes it away again if the work leaves it empty.

    Errors name ``option``, which gave it.

    Raises:
        OutputFolderError: a file is in its place, or it cannot be made or written.
    """
    folder = Path(path)
    made = [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _try_to_write(folder)
    except OSError as error:
        _MADE.extend(made)
        raise _unwritable(folder, error, option) from None
    _MADE.extend(made)
    return folder


def check_output_file(path: str | Path, *, force: bool = False) -> Path:
    """A file to write, whose folder is made before the work.

    Raises:
        OutputFolderError: it exists, and ``force`` was not asked for; it is a folder; it cannot be written.
    """
    file = Path(path)
    if file.is_dir():
        raise OutputFolderError(f"--out must be a file, and {file} is a folder")
    if file.exists() and not force:
        raise OutputFolderError(f"{file} exists: name another --out, or replace it with --force")
    make_output_folder(file.parent)
    return file


def remove_empty_folders() -> None:
    """Take away the folders that were made for a command that failed before it wrote anything."""
    while _MADE:
        with contextlib.suppress(OSError):
            _MADE.pop(0).rmdir()


def device_name(text: str | None) -> str | None:
    """The device that torch knows by this name, and that is there; None: the caller's default.

    Raises:
        ConfigError: there is none; those that are there are named.
    """
    from .._checks import devices_there

    there = devices_there()
    if text is None or text in there or (text == "cuda" and "cuda:0" in there):
        return text
    raise ConfigError(f"--device must be one of {', '.join(there)} here, got {text!r}")


def _try_to_write(folder: Path) -> None:
    probe = folder / f".{secrets.token_hex(6)}.probe"
    os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    probe.unlink()


def _unwritable(folder: Path, error: OSError, option: str) -> OutputFolderError:
    if isinstance(error, FileExistsError | NotADirectoryError):
        file = next(one for one in (folder, *folder.parents) if one.exists() or one.is_symlink())
        return OutputFolderError(f"{option} needs the folder {folder}, and {file} is a file")
    return OutputFolderError(f"{option} cannot be written: {folder}: {error.strerror or error}")
