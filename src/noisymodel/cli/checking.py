"""Checks of a command's paths and device before its work."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Generator
from difflib import get_close_matches
from pathlib import Path

from ..errors import ConfigError, InputFileError, OutputFolderError

FEATURE_FILES = "a feature store's folder, .npy, .npz, .safetensors, .parquet (or a folder of them), .csv or .tsv"
_MADE: list[Path] = []  # folders that this process created for its output, the innermost first


@contextlib.contextmanager
def bad_input(*others: type[Exception]) -> Generator[None]:
    """Report what the library refuses, and ``others``, in one line as bad input."""
    try:
        yield
    except (ConfigError, InputFileError):
        raise
    except (ValueError, TypeError, *others) as error:
        raise ConfigError(" ".join(str(error).split())) from None


def named_paths(given: list[str]) -> list[tuple[str, str]]:
    """The names and paths of arguments ``[NAME=]FILE``; a file without a name gets a short one."""
    from ..files.reading import is_there
    from ..spectrum_files.naming import short_names

    pairs = [("", text) if is_there(text) else text.partition("=")[::2] for text in given]
    pairs = [(name, path) if path else ("", name) for name, path in pairs]
    own = iter(short_names([Path(path) for name, path in pairs if not name]))
    return [(name or next(own), path) for name, path in pairs]


def existing(path: str | Path) -> Path:
    """Check that a path exists.

    Raises:
        InputFileError: it does not; the message suggests a similar name in the same folder.
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
    """Check the folder of a saved classifier, which `noisymodel tune --out DIR` writes as DIR/model.

    Raises:
        InputFileError: it does not exist, or its parent folder was given.
    """
    folder = existing(path)
    if not (folder / "classifier.json").exists() and (folder / "model" / "classifier.json").exists():
        raise InputFileError(f"{folder} is no classifier's folder: did you mean {folder / 'model'}?")
    return folder


def make_output_folder(path: str | Path, *, option: str = "--out") -> Path:
    """Create the output folder before the work; the guard removes it if the work leaves it empty.

    Errors name ``option``, the option of the folder.

    Raises:
        OutputFolderError: the path is a file, or the folder cannot be created or written.
    """
    folder = Path(path)
    made = [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        _MADE.extend(made)
        raise _unwritable(folder, error, option) from None
    _MADE.extend(made)
    return folder


def check_output_file(path: str | Path, *, force: bool = False) -> Path:
    """Check the path of an output file, and create its folder before the work.

    Raises:
        OutputFolderError: the file exists without ``force``; the path is a folder; the file cannot be written.
    """
    file = Path(path)
    if file.is_dir():
        raise OutputFolderError(f"--out must be a file, and {file} is a folder")
    if file.exists() and not force:
        raise OutputFolderError(f"{file} exists: name another --out, or replace it with --force")
    make_output_folder(file.parent)
    return file


def remove_empty_folders() -> None:
    """Remove the empty folders that were created for a failed command."""
    while _MADE:
        with contextlib.suppress(OSError):
            _MADE.pop(0).rmdir()


def device_name(text: str | None) -> str | None:
    """Check that torch has a device of this name; None: the caller's default.

    Raises:
        ConfigError: there is no such device; the message lists the existing ones.
    """
    from .._checks import devices_there

    there = devices_there()
    if text is None or text in there or (text == "cuda" and "cuda:0" in there):
        return text
    raise ConfigError(f"--device must be one of {', '.join(there)} here, got {text!r}")


def _unwritable(folder: Path, error: OSError, option: str) -> OutputFolderError:
    if isinstance(error, FileExistsError | NotADirectoryError):
        file = next(one for one in (folder, *folder.parents) if one.exists() or one.is_symlink())
        return OutputFolderError(f"{option} needs the folder {folder}, and {file} is a file")
    return OutputFolderError(f"{option} cannot be written: {folder}: {error.strerror or error}")
