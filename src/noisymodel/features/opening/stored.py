"""Opening of feature stores and Parquet files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ...errors import InputFileError
from ...files.reading import files_of
from ...files.tables import listed, load_pyarrow, matching, parquet_batches
from ...files.tables import open_parquet as open_parquet_file
from ..interchange.arrow import column_values
from ..store import FeatureStore
from .rows import FeatureFile, as_tensor, check_layout

_FAVOURITES = ("features", "embedding", "embeddings")


@dataclass(frozen=True)
class StoredFile(FeatureFile):
    """The features of a `FeatureStore`."""

    store: FeatureStore

    def parts(self, size: int) -> Iterator[Tensor]:
        """See `FeatureFile`."""
        for batch in self.store.batches(size):  # maps one shard at a time
            yield batch if isinstance(batch, Tensor) else batch[0]


def open_store(path: Path) -> StoredFile:
    """Open the features of a store's folder."""
    store = FeatureStore.open(path)
    if not len(store):
        raise InputFileError(f"{path} has no rows: nothing is committed yet")
    dtype = str(store.dtype).removeprefix("torch.")
    return StoredFile(path, None, len(store), store.num_features, dtype, store)


@dataclass(frozen=True)
class ParquetFiles(FeatureFile):
    """A column of lists, or several columns of numbers, in one Parquet file or in all files of a folder."""

    files: Sequence[Path]
    columns: Sequence[str]

    def parts(self, size: int) -> Iterator[Tensor]:
        """See `FeatureFile`."""
        row = 0
        for file in self.files:
            for batch in parquet_batches(file, self.columns, size):
                yield as_tensor(_matrix(batch, file, row, self.num_features))
                row += len(batch)


def open_parquet(path: Path, key: str | None) -> ParquetFiles:
    """Open columns of Parquet files; only the schema (and a first row) is read.

    ``key`` is a column, or a pattern such as ``f*`` for several columns of numbers. None: the column ``features`` (or
    ``embedding``, ``embeddings``), else the only column of lists of floating-point numbers, else all columns of
    floating-point numbers.
    """
    files = files_of(path, ".parquet")
    columns: list[str] = []
    count = 0
    for file in files:
        with open_parquet_file(file) as opened:
            columns = columns or _columns(path, opened.schema_arrow, key)
            missing = [name for name in columns if name not in opened.schema_arrow.names]
            count += opened.metadata.num_rows
        if missing:
            raise InputFileError(f"{file} has no column {missing[0]!r}, which {files[0]} has")
    if not count:
        raise InputFileError(f"{path} has no rows")
    first = next(chain.from_iterable(parquet_batches(file, columns, 1) for file in files))
    matrix = _matrix(first, files[0], 0, None)
    check_layout(path, f"{listed(columns, 3)}", str(matrix.dtype), matrix.shape, floating=matrix.dtype.kind == "f")
    name = columns[0] if len(columns) == 1 else listed(columns, 2)
    return ParquetFiles(path, name, count, matrix.shape[1], matrix.dtype.name, files, columns)


def _columns(path: Path, schema: Any, key: str | None) -> list[str]:
    """The names of the columns that make up the features."""
    types = {name: schema.field(name).type for name in schema.names}
    if key is not None:
        names = matching(list(types), key)
        if not names:
            raise InputFileError(f"{path} has no column {key!r}, only {listed(types)}")
        return names
    lists = [name for name, kind in types.items() if _is_floats(kind, inside=True)]
    for name in (*(name for name in _FAVOURITES if name in lists), *(lists if len(lists) == 1 else ())):
        return [name]
    if lists:
        raise InputFileError(f"{path} has several columns of lists, {listed(lists)}: name one as the key")
    numbers = [name for name, kind in types.items() if _is_floats(kind, inside=False)]
    if not numbers:
        raise InputFileError(f"{path} has no column of floating-point numbers or lists, only {listed(types)}")
    return numbers


def _is_floats(kind: Any, *, inside: bool) -> bool:
    types = load_pyarrow().types
    if inside and hasattr(kind, "storage_type"):
        kind = kind.storage_type
    is_list = types.is_fixed_size_list(kind) or types.is_list(kind) or types.is_large_list(kind)
    if inside:
        return bool(is_list) and bool(types.is_floating(kind.value_type))
    return bool(types.is_floating(kind))


def _matrix(batch: Any, file: Path, row: int, width: int | None) -> np.ndarray[Any, Any]:
    """The rows (n, D) of a record batch; ``row`` is the number of its first row, for messages."""
    parts: list[np.ndarray[Any, Any]] = []
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if column.null_count:
            place = row + int(column.is_null().to_numpy(zero_copy_only=False).argmax())
            raise InputFileError(f"{file}, row {place}: {name!r} is null; drop or fill such rows")
        if hasattr(column, "value_lengths") and width is not None and len(batch.schema.names) == 1:
            _check_lengths(column, file, row, width)
        try:
            values = column_values(column, f"{file}, from row {row}: {name!r}")
        except ValueError as error:
            raise InputFileError(" ".join(str(error).split())) from None
        if not isinstance(values, np.ndarray):
            raise InputFileError(f"{file}: the column {name!r} holds texts, not numbers")
        parts.append(values)
    if len(parts) == 1 and parts[0].ndim != 1:
        return parts[0]
    other = [name for name, part in zip(batch.schema.names, parts, strict=True) if part.ndim != 1]
    if other:
        raise InputFileError(f"{file}: {other[0]!r} is a column of lists, one of several: name one as the key")
    return np.column_stack(parts) + 0.0  # converts integers and truth values to floats


def _check_lengths(column: Any, file: Path, row: int, width: int) -> None:
    lengths = column.value_lengths().to_numpy(zero_copy_only=False)
    wrong = lengths != width
    if wrong.any():
        place = int(wrong.argmax())
        raise InputFileError(f"{file}, row {row + place}: {int(lengths[place])} features, the first row has {width}")
