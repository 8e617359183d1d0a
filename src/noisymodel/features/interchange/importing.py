"""A store from a stream of rows: there is all of it in the end, or nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from ...files import sync_folder
from ..lock import WriterLock
from ..store import FeatureStore

BATCH_ROWS = 4096


class Chunk(NamedTuple):
    """Some rows, as `FeatureStore.append` takes them; features are an array (n, D)."""

    features: np.ndarray[Any, Any]
    labels: object = None
    ids: object = None
    columns: Mapping[str, object] | None = None


def import_chunks(
    chunks: Iterable[Chunk],
    path: str | Path,
    *,
    source: str,
    dtype: str | None,
    metadata: Mapping[str, Any] | None,
    shard_rows: int | None,
    allow_nonfinite: bool,
) -> FeatureStore:
    """Write all rows to a hidden folder beside ``path``, and give it its name when it is complete.

    ``dtype=None`` is the type of the first rows, or float32 where a store cannot have it.
    """
    path = Path(path)
    if path.exists():
        raise FileExistsError(f"{path} exists already: choose a path that does not")
    stream = iter(chunks)
    first = next(stream, None)
    if first is None:
        raise ValueError(f"{source} must have rows, got none: there is nothing to make a store of")
    if first.features.ndim != 2:
        raise ValueError(f"the features in {source} must have shape (N, D), got rows {first.features.shape[1:]}")
    dtype = dtype or ("float16" if first.features.dtype == np.float16 else "float32")
    partial = path.with_name(f".{path.name}.partial")
    _remove_leftover(partial)
    options: dict[str, Any] = {"num_features": first.features.shape[1], "dtype": dtype, "metadata": metadata}
    try:
        with FeatureStore.create(partial, shard_rows=shard_rows, **options) as store:
            for chunk in chain([first], stream):
                store.append(
                    chunk.features, chunk.labels, chunk.ids, columns=chunk.columns, allow_nonfinite=allow_nonfinite
                )
        partial.rename(path)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    sync_folder(path.parent)
    return FeatureStore.open(path)


def _remove_leftover(partial: Path) -> None:
    """Delete what an import that was killed left behind; one that still runs is an error."""
    if partial.is_dir():
        WriterLock(partial).release()
        shutil.rmtree(partial)


@contextmanager
def exported(path: str | Path) -> Generator[Path]:
    """A temporary name for a file that becomes ``path`` when the block succeeds."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def as_array(values: object) -> np.ndarray[Any, Any]:
    """A tensor or rows of a store as numpy has them; float32 for bfloat16."""
    if isinstance(values, torch.Tensor) and values.dtype == torch.bfloat16:
        values = values.float()
    return np.asarray(values)
