"""Opening of a declared set: the choice of its reader and its classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from ....errors import ConfigError, InputFileError
from ...config_values import demand_known
from .declaration import SetTable, SuiteTable
from .hub import HUB, is_saved, read_hub
from .places import expand_braces, read_lines
from .published import read_cars, read_cifar, read_flowers, read_svhn, read_video_frames
from .readers import read_arrays, read_folder, read_lists, read_tables
from .rows import Found, Rows, arranged
from .shards import read_shards

FORMATS: Mapping[str, Callable[[Path, SetTable], Found]] = {
    "folder": read_folder,
    "table": read_tables,
    "list": read_lists,
    "arrays": read_arrays,
    "webdataset": read_shards,
    "huggingface": read_hub,
    "cifar": read_cifar,
    "svhn": read_svhn,
    "flowers-102": read_flowers,
    "stanford-cars": read_cars,
    "imagenet-vid-robust": read_video_frames,
}
"""Name in a configuration -> reader."""

_SUFFIXES = {
    ".npz": "arrays",
    ".csv": "table",
    ".tsv": "table",
    ".jsonl": "table",
    ".ndjson": "table",
    ".parquet": "table",
    ".txt": "list",
    ".tar": "webdataset",
}


def open_set(table: SetTable, key: str, suite: SuiteTable) -> Rows:
    """The rows of a declared set.

    Raises:
        ConfigError: the format is unknown, or the data are missing or faulty; the message has the key and the file.
    """
    try:
        found = _reader(table, key, suite)
        _ = found.state  # that files are there
        return arranged(found, table, _classes(table, suite))
    except InputFileError as error:
        raise ConfigError(f"config key `{key}.path`: {error}") from None


def _reader(table: SetTable, key: str, suite: SuiteTable) -> Found:
    if table.path.startswith(HUB):
        return read_hub(table.path.removeprefix(HUB), table)
    if table.format:
        demand_known(f"{key}.format", table.format, FORMATS)
    path = suite.resolve(table.path)
    own = replace(table, root=str(suite.resolve(table.root))) if table.root else table
    return FORMATS[table.format or guessed_format(path)](path, own)


def guessed_format(path: Path) -> str:
    """Guess the format from the ending of a path, or from the files in the folder.

    Raises:
        InputFileError: the path does not exist, or its ending is unknown.
    """
    first = Path(expand_braces(str(path))[0])
    if first.suffix.lower() in _SUFFIXES:
        return _SUFFIXES[first.suffix.lower()]
    if path.is_dir():
        if is_saved(path):
            return "huggingface"
        if (path / "images.npy").is_file() or (path / "texts.npy").is_file():
            return "arrays"
        return "webdataset" if next(path.glob("*.tar"), None) is not None else "folder"
    if not path.exists():
        raise InputFileError(f"there is nothing at {path}")
    raise InputFileError(f"{path}: the format does not follow from the ending; `format` is one of {', '.join(FORMATS)}")


def _classes(table: SetTable, suite: SuiteTable) -> tuple[str, ...]:
    if not table.classes_file:
        return table.classes
    path = suite.resolve(table.classes_file)
    names = tuple(filter(None, read_lines(path)))
    if not names or len(set(names)) != len(names):
        raise InputFileError(f"the list of classes {path} must have distinct names, a line each")
    return names
