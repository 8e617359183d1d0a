"""Arrow tables, Parquet files and Hugging Face datasets (extras ``tables`` and ``datasets``)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, cast

import numpy as np

from ..._checks import check_integer
from ...errors import InputFileError, MissingExtraError
from ...files import new_file
from ...files.tables import load_pyarrow
from ..store import FeatureStore
from .arrow import METADATA_KEY, arrow_array, arrow_schema, column_values
from .importing import BATCH_ROWS, Chunk, as_array, import_chunks

_LABELS = ("labels", "label")


def to_arrow(store: FeatureStore, *, batch_rows: int = BATCH_ROWS) -> Iterator[Any]:
    """The rows as ``pyarrow.RecordBatch``es of up to ``batch_rows`` rows.

    Features and other columns with more than one number per row are fixed-size lists; bfloat16 becomes float32. The
    schema's metadata has the store's metadata and dtype, which `from_arrow` takes up again.
    """
    pyarrow = load_pyarrow()
    check_integer(batch_rows, "batch_rows", minimum=1)
    schema = arrow_schema(store)

    def batches() -> Iterator[Any]:
        columns = [store.column(name) for name in store.columns]
        for start in range(0, len(store), batch_rows):
            rows = slice(start, start + batch_rows)
            arrays = [arrow_array(column[rows], kind) for column, kind in zip(columns, schema.types, strict=True)]
            yield pyarrow.RecordBatch.from_arrays(arrays, schema=schema)

    return batches()


def to_parquet(store: FeatureStore, path: str | Path, *, batch_rows: int = BATCH_ROWS) -> Path:
    """Write a store as one Parquet file, a row group for every ``batch_rows`` rows; see `to_arrow` for the columns.

    Returns:
        The file's path.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    load_pyarrow()
    import pyarrow.parquet as parquet

    batches = to_arrow(store, batch_rows=batch_rows)
    with new_file(Path(path)) as partial, parquet.ParquetWriter(partial, arrow_schema(store)) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return Path(path)


def to_dataset(store: FeatureStore, path: str | Path, *, batch_rows: int = BATCH_ROWS) -> Any:
    """Write a store as an Arrow file, and return it as a ``datasets.Dataset`` that maps that file into memory.

    Raises:
        MissingExtraError: datasets is not installed.
    """
    datasets = _datasets()
    pyarrow = load_pyarrow()
    batches = to_arrow(store, batch_rows=batch_rows)
    with new_file(Path(path)) as partial, pyarrow.ipc.new_stream(partial, arrow_schema(store)) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return datasets.Dataset.from_file(str(path))


def from_arrow(
    batches: Iterable[Any],
    path: str | Path,
    *,
    features: str = "features",
    labels: str | None = None,
    ids: str | None = None,
    columns: Sequence[str] | None = None,
    dtype: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    shard_rows: int | None = None,
    allow_nonfinite: bool = False,
) -> FeatureStore:
    """A store from a stream of ``pyarrow`` record batches or tables.

    Args:
        batches: with the same columns each.
        path: the folder of the new store; it appears when all rows are in it.
        features: the column of features: lists of D numbers.
        labels: the column of labels; None: ``labels`` or ``label``, where there is one.
        ids: the column of ids; None: ``ids``, where there is one.
        columns: the further columns to take; None: all others.
        dtype: of the store; None: what `to_arrow` noted, else float16 for float16, else float32.
        metadata: see `FeatureStore.create`; None: what `to_arrow` noted.
        shard_rows: see `FeatureStore.create`.
        allow_nonfinite: whether features may be NaN or infinite.

    Raises:
        FileExistsError: there is something at ``path``.
        ValueError: a column is missing, has nulls, lists of different lengths or a type that a store cannot hold; or
            rows that `FeatureStore.append` refuses.
        MissingExtraError: pyarrow is not installed.
    """
    return _import(
        batches,
        path,
        "the table",
        (features, labels, ids, columns),
        dtype=dtype,
        metadata=metadata,
        shard_rows=shard_rows,
        allow_nonfinite=allow_nonfinite,
    )


def from_parquet(
    files: str | Path | Sequence[str | Path],
    path: str | Path,
    *,
    features: str = "features",
    labels: str | None = None,
    ids: str | None = None,
    columns: Sequence[str] | None = None,
    dtype: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    shard_rows: int | None = None,
    batch_rows: int = BATCH_ROWS,
    allow_nonfinite: bool = False,
) -> FeatureStore:
    """A store from Parquet files, in the order given (the files of a folder by name); else like `from_arrow`.

    Raises:
        InputFileError: a file is no Parquet file, or a folder has none.
        MissingExtraError: pyarrow is not installed.
    """
    pyarrow = load_pyarrow()
    import pyarrow.parquet as parquet

    check_integer(batch_rows, "batch_rows", minimum=1)
    names = _listed(files)

    def batches() -> Iterator[Any]:
        for name in names:
            try:
                with parquet.ParquetFile(name) as file:
                    yield from file.iter_batches(batch_size=batch_rows)
            except pyarrow.ArrowInvalid as error:
                raise InputFileError(f"{name} is no Parquet file, or damaged ({error})") from None

    return _import(
        batches(),
        path,
        ", ".join(map(str, names[:3])),
        (features, labels, ids, columns),
        dtype=dtype,
        metadata=metadata,
        shard_rows=shard_rows,
        allow_nonfinite=allow_nonfinite,
    )


def from_dataset(
    dataset: Any,
    path: str | Path,
    *,
    features: str = "features",
    labels: str | None = None,
    ids: str | None = None,
    columns: Sequence[str] | None = None,
    dtype: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    shard_rows: int | None = None,
    batch_rows: int = BATCH_ROWS,
    allow_nonfinite: bool = False,
) -> FeatureStore:
    """A store from a ``datasets.Dataset`` or ``IterableDataset``; else like `from_arrow`.

    The rows are those that the data set gives: with a transform (``with_transform``) what that makes of them.

    Raises:
        TypeError: a ``DatasetDict``: one of its splits is a data set.
        MissingExtraError: datasets is not installed.
    """
    datasets = _datasets()
    check_integer(batch_rows, "batch_rows", minimum=1)
    if isinstance(dataset, dict):  # DatasetDict and IterableDatasetDict
        splits = ", ".join(map(repr, cast("dict[str, object]", dataset)))
        raise TypeError(f"`dataset` must be one data set, got a dictionary of the splits {splits}: name one of them")
    if isinstance(dataset, datasets.Dataset) and dataset.format["type"] == "custom":  # what its transform gives
        batches: Iterable[Any] = map(_transformed, dataset.iter(batch_size=batch_rows))
    else:
        batches = dataset.with_format("arrow").iter(batch_size=batch_rows)
    return _import(
        batches,
        path,
        "the dataset",
        (features, labels, ids, columns),
        dtype=dtype,
        metadata=metadata,
        shard_rows=shard_rows,
        allow_nonfinite=allow_nonfinite,
    )


def _import(
    batches: Iterable[Any],
    path: str | Path,
    source: str,
    names: tuple[str, str | None, str | None, Sequence[str] | None],
    *,
    dtype: str | None,
    metadata: Mapping[str, Any] | None,
    shard_rows: int | None,
    allow_nonfinite: bool,
) -> FeatureStore:
    load_pyarrow()
    stream = iter(batches)
    first = next(stream, None)
    if first is None:
        raise ValueError(f"{source} must have rows, got none: there is nothing to make a store of")
    noted = json.loads((first.schema.metadata or {}).get(METADATA_KEY, b"{}"))
    taken = _taken(first.schema.names, source, *names)
    return import_chunks(
        (_chunk(batch, source, *taken) for batch in chain([first], stream)),
        path,
        source=source,
        dtype=dtype or noted.get("dtype"),
        metadata=noted.get("metadata") if metadata is None else metadata,
        shard_rows=shard_rows,
        allow_nonfinite=allow_nonfinite,
    )


def _taken(
    present: Sequence[str],
    source: str,
    features: str,
    labels: str | None,
    ids: str | None,
    columns: Sequence[str] | None,
) -> tuple[str, str | None, str | None, Sequence[str]]:
    """The columns to take, where none were named those that are there."""
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
        if hasattr(column, "combine_chunks"):  # of a table
            column = column.combine_chunks()
        return column_values(column, f"the column {name!r} of {source}")

    given = {"labels": labels, "ids": ids}
    return Chunk(
        read(features),
        **{argument: read(name) for argument, name in given.items() if name is not None},
        columns={name: read(name) for name in others},
    )


def _transformed(batch: Mapping[str, Any]) -> Any:
    """A batch that a transform has made, lists or arrays or tensors, as a record batch."""
    pyarrow = load_pyarrow()

    def column(values: Any) -> Any:
        array = as_array(values) if hasattr(values, "__array__") else np.asarray([as_array(one) for one in values])
        if array.ndim == 1:
            return pyarrow.array(array.tolist() if array.dtype.kind in "UO" else array)
        flat = pyarrow.array(np.ascontiguousarray(array).reshape(-1))
        for size in reversed(array.shape[1:]):
            flat = pyarrow.FixedSizeListArray.from_arrays(flat, size)
        return flat

    return pyarrow.RecordBatch.from_pydict({name: column(values) for name, values in batch.items()})


def _listed(files: str | Path | Sequence[str | Path]) -> list[Path]:
    if not isinstance(files, (str, Path)):
        return [Path(name) for name in files]
    path = Path(files)
    if not path.is_dir():
        return [path]
    found = sorted(path.glob("*.parquet"))
    if not found:
        raise InputFileError(f"{path} has no file *.parquet")
    return found


def _datasets() -> Any:
    try:
        import datasets
    except ImportError:
        raise MissingExtraError("datasets", extra="datasets", purpose="Hugging Face datasets") from None
    return datasets
