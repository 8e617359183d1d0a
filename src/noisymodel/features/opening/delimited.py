"""Features in CSV and TSV files: a column of numbers for each feature."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...errors import InputFileError
from ...files.labels import NAMES
from ...files.reading import shown
from ...files.tables import DelimitedTable, Row, listed, matching
from .rows import FeatureFile

_NO_FEATURES = (*NAMES, "id", "ids", "key", "__key__", "row", "index", "path", "text", "caption", "split")


@dataclass(frozen=True)
class DelimitedFile(FeatureFile):
    """The columns of numbers in a CSV or TSV file, read as float32."""

    table: DelimitedTable
    columns: Sequence[str]

    def parts(self, size: int) -> Iterator[Tensor]:
        """See `FeatureFile`."""
        rows = self.table.values(*self.columns)
        while part := list(islice(rows, size)):
            yield torch.from_numpy(self._numbers(part))

    def _numbers(self, part: list[Row]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        try:
            return np.array([values for _, values in part], dtype=np.float32)
        except ValueError:
            for number, values in part:
                for name, value in zip(self.columns, values, strict=True):
                    if _number(value) is None:
                        raise InputFileError(
                            f"{shown(self.path)}, line {number}: {name!r} must be a number, got {value[:40]!r}"
                        ) from None
            raise


def open_delimited(path: Path, key: str | None) -> DelimitedFile:
    """Open the columns of numbers that match the pattern ``key``, by default all except labels and ids."""
    table = DelimitedTable(path)
    header = table.columns()
    if header and all(_number(name) is not None for name in header):
        raise InputFileError(f"{shown(path)} has no header: name its columns in a first line, such as f0,f1")
    first = next(table.values(*header), None) if len(set(header)) == len(header) else None
    values = dict(zip(header, first[1], strict=True)) if first else {}
    if key is not None:
        names = matching(header, key)
    else:
        numbers = [name for name in header if _number(values.get(name, "")) is not None]
        names = [name for name in numbers if name.lower() not in _NO_FEATURES]
    if not names:
        what = f"no column {key!r}" if key is not None else "no columns of numbers"
        raise InputFileError(f"{shown(path)} has {what}, only {listed(map(repr, header))}")
    count = sum(1 for _ in table.values(names[0]))
    if not count:
        raise InputFileError(f"{shown(path)} has no rows")
    label = names[0] if len(names) == 1 else listed(names, 2)
    return DelimitedFile(path, label if key is not None else None, count, len(names), "float32", table, names)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
