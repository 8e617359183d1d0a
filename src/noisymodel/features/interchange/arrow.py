"""Conversion between columns of Arrow and columns of a store."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from ...files.tables import load_pyarrow
from ..lazy_columns import ShardedStrings
from ..store import FeatureStore
from .importing import as_array

METADATA_KEY = b"noisymodel"  # the key in a schema's metadata


def column_values(column: Any, name: str) -> Any:
    """Convert an Arrow column to an array (n, ...), or to a list of strings."""
    types = load_pyarrow().types
    kind = column.type
    if column.null_count:
        raise ValueError(f"{name} must have no nulls, got {column.null_count}: drop or fill those rows first")
    if types.is_dictionary(kind):
        return column_values(column.dictionary_decode(), name)
    if hasattr(kind, "storage_type"):  # an extension type, such as a tensor of fixed shape
        inner = column_values(column.storage, name)
        return inner.reshape(len(column), *getattr(kind, "shape", inner.shape[1:]))
    if types.is_string(kind) or types.is_large_string(kind):
        return column.to_pylist()
    if types.is_fixed_size_list(kind) or types.is_list(kind) or types.is_large_list(kind):
        inner = column_values(column.flatten(), name)
        return inner.reshape(len(column), _width(column, kind, name), *inner.shape[1:])
    if types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind):
        return column.to_numpy(zero_copy_only=False)
    raise ValueError(f"{name} must have numbers, lists of numbers or strings, got {kind}: leave it out by `columns`")


def _width(column: Any, kind: Any, name: str) -> int:
    if hasattr(kind, "list_size"):
        return kind.list_size
    lengths = column.value_lengths().to_numpy(zero_copy_only=False)
    if len(lengths) and (lengths != lengths[0]).any():
        other = lengths[lengths != lengths[0]][0]
        raise ValueError(f"{name} must have lists of one length, got {lengths[0]} and {other}")
    return int(lengths[0]) if len(lengths) else 0


def arrow_schema(store: FeatureStore) -> Any:
    """The Arrow schema of a store's columns, with its metadata and dtype as JSON."""
    pyarrow = load_pyarrow()
    fields: list[Any] = []
    for name in store.columns:
        column = store.column(name)
        if isinstance(column, ShardedStrings):
            fields.append(pyarrow.field(name, pyarrow.string(), nullable=False))
            continue
        kind = pyarrow.from_numpy_dtype(as_array(column[:0]).dtype)
        for size in reversed(column.shape[1:]):
            kind = pyarrow.list_(kind, size)
        fields.append(pyarrow.field(name, kind, nullable=False))
    noted = {"metadata": store.metadata, "dtype": str(store.dtype).removeprefix("torch.")}
    return pyarrow.schema(fields, metadata={METADATA_KEY: json.dumps(noted)})


def arrow_array(values: Any, kind: Any) -> Any:
    """Convert rows of a store to an Arrow array of the type in `arrow_schema`."""
    return load_pyarrow().array(values, kind) if isinstance(values, list) else fixed_lists(as_array(values)).cast(kind)


def fixed_lists(array: np.ndarray[Any, Any]) -> Any:
    """Convert an array (n, ...) to an Arrow array of lists of one length."""
    pyarrow = load_pyarrow()
    flat = pyarrow.array(np.ascontiguousarray(array).reshape(-1))
    for size in reversed(array.shape[1:]):
        flat = pyarrow.FixedSizeListArray.from_arrays(flat, size)
    return flat
