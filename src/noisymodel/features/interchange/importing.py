"""Import of a store from a stream of rows: either the whole store appears, or nothing."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, TypedDict, TypeVar

import numpy as np
import torch

from ...errors import FeatureStoreError
from ...files import new_folder
from ...files.atomic import partials_of
from ..store import FeatureStore
from ..store_folder import writer_lock

BATCH_ROWS = 4096  # rows in memory at a time
T = TypeVar("T")


class StoreOptions(TypedDict, total=False):
    """The options of the new store, for every import.

    Attributes:
        dtype: the dtype of the store; None: float16 for float16, else float32.
        metadata: see `FeatureStore.create`.
        shard_rows: see `FeatureStore.create`.
        allow_nonfinite: whether features may be NaN or infinite.
    """

    dtype: str | None
    metadata: Mapping[str, Any] | None
    shard_rows: int | None
    allow_nonfinite: bool


class Chunk(NamedTuple):
    """The arguments of `FeatureStore.append` for some rows; features are an array (n, D)."""

    features: np.ndarray[Any, Any]
    labels: object = None
    ids: object = None
    columns: Mapping[str, object] | None = None


def import_chunks(
    chunks: Iterable[Chunk],
    path: str | Path,
    source: str,
    *,
    dtype: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    shard_rows: int | None = None,
    allow_nonfinite: bool = False,
) -> FeatureStore:
    """Write all rows to a hidden folder beside ``path``, and rename it to ``path`` when it is complete."""
    path = Path(path).absolute()
    stream = iter(chunks)
    first = first_of(stream, source)
    if first.features.ndim != 2:
        raise ValueError(f"the features in {source} must have shape (N, D), got rows {first.features.shape[1:]}")
    dtype = dtype or ("float16" if first.features.dtype == np.float16 else "float32")
    options: dict[str, Any] = {"num_features": first.features.shape[1], "dtype": dtype, "metadata": metadata}
    _remove_leftovers(path)
    with new_folder(path) as partial, FeatureStore.create(partial, shard_rows=shard_rows, **options) as store:
        for chunk in chain([first], stream):
            store.append(
                chunk.features, chunk.labels, chunk.ids, columns=chunk.columns, allow_nonfinite=allow_nonfinite
            )
    return FeatureStore.open(path)


def first_of(stream: Iterator[T], source: str) -> T:
    """The first piece of a stream; raises if the stream is empty."""
    for first in stream:
        return first
    raise ValueError(f"{source} must have rows, got none: there is nothing to make a store of")


def pieces(count: int) -> Iterator[slice]:
    """Slices of the rows 0 to ``count``, `BATCH_ROWS` at a time."""
    return (slice(start, min(start + BATCH_ROWS, count)) for start in range(0, count, BATCH_ROWS))


def _remove_leftovers(path: Path) -> None:
    """Delete the folders of killed imports; a running import holds its lock, and keeps its folder."""
    for partial in partials_of(path):
        if partial.is_dir() and not partial.is_symlink():
            try:
                lock = writer_lock(partial)
            except (FeatureStoreError, OSError):
                continue
            with lock:
                shutil.rmtree(partial, ignore_errors=True)


def as_array(values: object) -> np.ndarray[Any, Any]:
    """Convert a tensor or rows of a store to numpy; bfloat16 becomes float32."""
    if isinstance(values, torch.Tensor) and values.dtype == torch.bfloat16:
        values = values.float()
    return np.asarray(values)
