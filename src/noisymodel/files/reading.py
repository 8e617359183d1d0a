"""Checks of files from outside: that a path is a file, text, or JSON of the right shape."""

from __future__ import annotations

import gzip
import json
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, cast

from ..errors import InputFileError

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".joblib")
_MOST_JSON = 256 << 20  # bytes; a manifest of a million shards has less


def check_file(path: Path) -> Path:
    """Check that a path is a regular file, and return it.

    Raises:
        InputFileError: the path does not exist, is a folder, a pipe or a device, or the system refuses its name.
    """
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - `Path.stat` raises another error for a name with a null byte
    except (FileNotFoundError, NotADirectoryError):
        raise InputFileError(f"there is no file {shown(path)}") from None
    except (OSError, ValueError) as error:
        raise InputFileError(f"{shown(path)} cannot be read ({reason(error)})") from None
    if stat.S_ISDIR(mode):
        raise InputFileError(f"{shown(path)} is a folder, expected a file")
    if not stat.S_ISREG(mode):
        raise InputFileError(f"{shown(path)} is a pipe or a device, expected a file on the disk")
    return path


def is_there(path: str | Path) -> bool:
    """Whether a path exists; False for names that the system refuses, for example because they are too long."""
    return os.path.exists(path)  # noqa: PTH110 - `Path.exists` raises for these


def is_folder(path: str | Path) -> bool:
    """Whether a path is a folder; see `is_there`."""
    return os.path.isdir(path)  # noqa: PTH112 - see above


def files_of(path: Path, suffix: str) -> list[Path]:
    """The file itself, or all files of a folder with this ending, sorted by name.

    Raises:
        InputFileError: the folder has no such file.
    """
    if not is_folder(path):
        return [path]
    found = sorted(path.glob(f"*{suffix}"))
    if not found:
        raise InputFileError(f"{shown(path)} has no file *{suffix}")
    return found


def suffix_of(path: Path) -> str:
    """The ending of a file's name in lower case; a final ``.gz`` is ignored.

    >>> suffix_of(Path("labels.CSV.gz")), suffix_of(Path("x.npy"))
    ('.csv', '.npy')
    """
    suffix = path.suffix.lower()
    return Path(path.stem).suffix.lower() if suffix == ".gz" else suffix


def open_bytes(path: Path) -> IO[bytes]:
    """Open the bytes of a file, unpacked if its name ends in ``.gz``."""
    check_file(path)
    return cast("IO[bytes]", gzip.open(path, "rb")) if path.suffix.lower() == ".gz" else path.open("rb")


def text_lines(path: Path, stream: IO[bytes]) -> Iterator[str]:
    """Yield the lines of a UTF-8 file with their line ends, without a byte order mark."""
    for number, line in enumerate(_lines(path, stream), start=1):
        content = line.removeprefix(BYTE_ORDER_MARK) if number == 1 else line
        if b"\0" in content:
            raise InputFileError(f"{shown(path)}, line {number}: no UTF-8 text (a null byte); save it as UTF-8")
        try:
            yield content.decode()
        except UnicodeDecodeError as error:
            raise InputFileError(
                f"{shown(path)}, line {number}: no UTF-8 text ({error.reason}); save it as UTF-8"
            ) from None


def _lines(path: Path, stream: Iterable[bytes]) -> Iterator[bytes]:
    try:
        yield from stream
    except (OSError, EOFError, ValueError) as error:
        raise InputFileError(f"{shown(path)} cannot be read ({reason(error)})") from None
    except Exception as error:  # zlib.error is no OSError
        if type(error).__module__ != "zlib":
            raise
        raise InputFileError(f"{shown(path)} is damaged ({reason(error)})") from None


def parse_json(content: str | bytes) -> Any:
    """Parse a JSON text.

    Raises:
        ValueError: the text is not JSON, or nested deeper than Python can read.
    """
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("nested too deep") from None


def read_json(path: Path) -> dict[str, Any]:
    """Read the JSON object in a file.

    Raises:
        InputFileError: the file does not exist, cannot be read, or holds no JSON object.
    """
    check_file(path)
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_JSON + 1)
        if len(content) > _MOST_JSON:
            raise InputFileError(f"{shown(path)} is larger than any record of this library")
        record = parse_json(content)
    except OSError as error:
        raise InputFileError(f"{shown(path)} cannot be read ({reason(error)})") from None
    except ValueError as error:
        if isinstance(error, InputFileError):
            raise
        raise InputFileError(f"{shown(path)} is damaged: no JSON ({reason(error)})") from None
    if not isinstance(record, dict):
        raise InputFileError(f"{shown(path)} is damaged: it holds no JSON object")
    return cast("dict[str, Any]", record)


def reason(error: BaseException) -> str:
    """The message of an error on one line, without its path, which the caller's sentence names."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split()) or type(error).__name__


def shown(path: str | Path) -> str:
    """A path for a message: bytes that are not text are escaped, so that every terminal can print it."""
    return str(path).encode("utf-8", "backslashreplace").decode()
