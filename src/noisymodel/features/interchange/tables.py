"""Import and export of Arrow tables, Parquet files and Hugging Face datasets (extras ``tables``, ``datasets``)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Unpack, cast

import numpy as np

from ...errors import import_extra
from ...files import new_file
from ...files.reading import files_of, parse_json
from ...files.tables import load_pyarrow, parquet_batches
from ..store import FeatureStore
from . import importing
from .arrow import METADATA_KEY, arrow_array, arrow_schema, column_values, fixed_lists
from .importing import Chunk, StoreOptions, as_array, first_of, import_chunks, pieces

_LABELS = ("labels", "label")


class TableOptions(StoreOptions, total=False):
    """The columns of a table to import, and the options of the new store: see `from_arrow`."""

    features: str
    labels: str | None
    ids: str | None
    columns: Sequence[str] | None


def to_arrow(store: FeatureStore) -> Iterator[Any]:
    """Yield the rows as ``pyarrow.RecordBatch`` objects of some thousand rows.

    Features and other columns with more than one number per row are fixed-size lists; bfloat16 becomes float32. The
    schema's metadata has the store's metadata and dtype, which `from_arrow` restores.
    """
    pyarrow = load_pyarrow()
    schema = arrow_schema(store)
    columns = [store.column(name) for name in store.columns]

    def batch(rows: slice) -> Any:
        arrays = [arrow_array(column[rows], kind) for column, kind in zip(columns, schema.types, strict=True)]
        return pyarrow.RecordBatch.from_arrays(arrays, schema=schema)

    return map(batch, pieces(len(store)))


def to_parquet(store: FeatureStore, path: str | Path) -> Path:
    """Write a store as one Parquet file, with some thousand rows in a row group; see `to_arrow` for the columns.

    Returns:
        The file's path.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    batches = to_arrow(store)
    import pyarrow.parquet as parquet

    with new_file(Path(path)) as partial, parquet.ParquetWriter(partial, arrow_schema(store)) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return Path(path)


def to_dataset(store: FeatureStore, path: str | Path) -> Any:
    """Write a store as an Arrow file, and return it as a ``datasets.Dataset`` that maps that file into memory.

    Raises:
        MissingExtraError: datasets is not installed.
    """
    datasets = _datasets()
    pyarrow = load_pyarrow()
    with new_file(Path(path)) as partial, pyarrow.ipc.new_stream(partial, arrow_schema(store)) as writer:
        for batch in to_arrow(store):
            writer.write_batch(batch)
    return datasets.Dataset.from_file(str(path))


def from_arrow(batches: Iterable[Any], path: str | Path, **options: Unpack[TableOptions]) -> FeatureStore:
    """Make a store from a stream of ``pyarrow`` record batches or tables.

    Args:
        batches: record batches or tables, all with the same columns.
        path: the folder of the new store; it appears when all rows are in it.
        options: ``features``, the column of features, lists of D numbers (default ``"features"``); ``labels``, the
            column of labels (None: ``labels`` or ``label``, if present); ``ids``, the column of ids (None: ``ids``, if
            present); ``columns``, the further columns to import (None: all others); ``dtype``, ``metadata``,
            ``shard_rows`` and ``allow_nonfinite`` as in `from_npy`; the first two default to those that `to_arrow`
            wrote.

    Raises:
        FileExistsError: ``path`` exists.
        ValueError: a column is missing, has nulls, lists of different lengths or a type that a store cannot hold; or
            rows that `FeatureStore.append` refuses.
        MissingExtraError: pyarrow is not installed.
    """
    return _import(batches, path, "the table", **options)


def from_parquet(
    files: str | Path | Sequence[str | Path], path: str | Path, **options: Unpack[TableOptions]
) -> FeatureStore:
    """Make a store from Parquet files in the given order (the files of a folder by name); else like `from_arrow`.

    Raises:
        InputFileError: a file is not a Parquet file, or a folder has none.
        MissingExtraError: pyarrow is not installed.
    """
    load_pyarrow()
    names = files_of(Path(files), ".parquet") if isinstance(files, (str, Path)) else [Path(name) for name in files]
    batches = (batch for name in names for batch in parquet_batches(name, None, importing.BATCH_ROWS))
    return _import(batches, path, ", ".join(map(str, names[:3])), **options)


def from_dataset(dataset: Any, path: str | Path, **options: Unpack[TableOptions]) -> FeatureStore:
    """Make a store from a ``datasets.Dataset`` or ``IterableDataset``; else like `from_arrow`.

    With a transform (``with_transform``), the transformed rows are imported.

    Raises:
        TypeError: for a ``DatasetDict``; give one of its splits.
        MissingExtraError: datasets is not installed.
    """
    datasets = _datasets()
    if isinstance(dataset, dict):  # DatasetDict and IterableDatasetDict
        splits = ", ".join(map(repr, cast("dict[str, object]", dataset)))
        raise TypeError(f"`dataset` must be one data set, got a dictionary of the splits {splits}: name one of them")
    if isinstance(dataset, datasets.Dataset) and dataset.format["type"] == "custom":  # the transformed rows
        batches: Iterable[Any] = map(_transformed, dataset.iter(batch_size=importing.BATCH_ROWS))
    else:
        batches = dataset.with_format("arrow").iter(batch_size=importing.BATCH_ROWS)
    return _import(batches, path, "the dataset", **options)


def _import(
    batches: Iterable[Any],
    path: str | Path,
    source: str,
    *,
    features: str = "features",
    labels: str | None = None,
    ids: str | None = None,
    columns: Sequence[str] | None = None,
    **options: Unpack[StoreOptions],
) -> FeatureStore:
    load_pyarrow()
    stream = iter(batches)
    first = first_of(stream, source)
    noted = parse_json((first.schema.metadata or {}).get(METADATA_KEY, b"{}"))
    taken = _taken(first.schema.names, source, features, labels, ids, columns)
    options["dtype"] = options.get("dtype") or noted.get("dtype")
    if options.get("metadata") is None:
        options["metadata"] = noted.get("metadata")
    return import_chunks((_chunk(batch, source, *taken) for batch in chain([first], stream)), path, source, **options)


def _taken(
    present: Sequence[str],
    source: str,
    features: str,
    labels: str | None,
    ids: str | None,
    columns: Sequence[str] | None,
) -> tuple[str, str | None, str | None, Sequence[str]]:
    """The columns to import; by default all that exist."""
    if labels is None:
        labels = next((name for name in _LABELS if name in present), None)
    if ids is None and "ids" in present:
        ids = "ids"
    others = [name for name in present if name not in (features, labels, ids)] if columns is None else columns
    missing = [name for name in (features, labels, ids, *others) if name is not None and name not in present]
    if missing:
        raise ValueError(f"{source} has no column {missing[0]!r}: it has {', '.join(present)}")
    return features, labels, ids, others


def _chunk(batch: Any, source: str, features: str, labels: str | None, ids: str | None, others: Sequence[str]) -> Chunk:
    def read(name: str) -> Any:
        column = batch.column(name)
        if hasattr(column, "combine_chunks"):  # a column of a table
            column = column.combine_chunks()
        return column_values(column, f"the column {name!r} of {source}")

    given = {"labels": labels, "ids": ids}
    return Chunk(
        read(features),
        **{argument: read(name) for argument, name in given.items() if name is not None},
        columns={name: read(name) for name in others},
    )


def _transformed(batch: Mapping[str, Any]) -> Any:
    """Convert a transformed batch of lists, arrays or tensors to a record batch."""

    def column(values: Any) -> Any:
        array = as_array(values) if hasattr(values, "__array__") else np.asarray([as_array(one) for one in values])
        return load_pyarrow().array(array.tolist()) if array.dtype.kind in "UO" else fixed_lists(array)

    return load_pyarrow().RecordBatch.from_pydict({name: column(values) for name, values in batch.items()})


def _datasets() -> Any:
    return import_extra("datasets", extra="datasets", purpose="Hugging Face datasets")
