"""Features and labels by the path of their file, as the command line is given them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InputFileError
from .manifest import MANIFEST_NAME
from .store import FeatureStore

_TABLES = {".csv": ",", ".tsv": "\t"}


def open_features(path: str | Path) -> FeatureStore | npt.NDArray[Any]:
    """A feature store's folder, or an ``.npy`` file (N, D), mapped into memory.

    Raises:
        InputFileError: there is nothing, or something else.
    """
    file = Path(path)
    if file.is_dir():
        if not (file / MANIFEST_NAME).exists():
            raise InputFileError(f"{file} is a folder without {MANIFEST_NAME}, so no feature store")
        return FeatureStore.open(file)
    features = _array(file, "features")
    if features.ndim != 2 or features.dtype.kind != "f":
        raise InputFileError(
            f"{file} must hold features, floating point and of shape (N, D), got {features.dtype} {features.shape}"
        )
    return features


def read_labels(path: str | Path, *, column: str | None = None) -> npt.NDArray[Any]:
    """Labels (N,): an ``.npy`` file, a column of a CSV or TSV file with a header, or one label in each line.

    Labels that are all whole numbers are integers, all others strings.

    Args:
        path: the file; ``.csv`` and ``.tsv`` are tables.
        column: of a table; ``None``: ``label``, or the only column.

    Raises:
        InputFileError: there is no such file or column, or a label is missing (the row is named).
    """
    file = Path(path)
    if file.suffix == ".npy":
        labels = _array(file, "labels")
        if labels.ndim != 1 or labels.dtype.kind not in "iuUb":
            raise InputFileError(f"{file} must hold labels, integers or strings of shape (N,), got {labels.dtype} "
                                 f"{labels.shape}")  # fmt: skip
        return np.asarray(labels)
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            if file.suffix in _TABLES:
                found = _table_column(file, list(csv.reader(lines, delimiter=_TABLES[file.suffix])), column)
            else:
                found = [(number, line.rstrip("\r\n")) for number, line in enumerate(lines, start=1)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputFileError(f"{file} cannot be read as labels: {error}") from None
    for number, text in found:
        if not text.strip():
            raise InputFileError(f"{file}, line {number}: the label is missing")
    if not found:
        raise InputFileError(f"{file} has no labels")
    texts = [text.strip() for _, text in found]
    if all(text.removeprefix("-").isdecimal() for text in texts):
        return np.array([int(text) for text in texts])
    return np.array(texts)


def _table_column(file: Path, rows: Sequence[Sequence[str]], column: str | None) -> list[tuple[int, str]]:
    if not rows:
        raise InputFileError(f"{file} is empty")
    header = rows[0]
    name = column if column is not None else header[0] if len(header) == 1 else "label"
    if name not in header:
        raise InputFileError(f"{file} has no column {name!r}, only {', '.join(header)}: name one")
    place = header.index(name)
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(header):
            raise InputFileError(f"{file}, line {number}: {len(row)} fields, but the header has {len(header)}")
    return [(number, row[place]) for number, row in enumerate(rows[1:], start=2)]


def _array(file: Path, what: str) -> npt.NDArray[Any]:
    if file.suffix != ".npy":
        raise InputFileError(f"{file}: {what} must be a feature store's folder or an .npy file")
    try:
        return np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputFileError(f"{file} cannot be read as an .npy file: {error}") from None
