"""Import and export of `.npy` files and arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias, Unpack

import numpy as np
import torch

from ...files import new_file
from ...files.arrays import read_npy
from ..lazy_columns import ShardedStrings
from ..manifest import STRING
from ..store import FeatureStore
from .importing import Chunk, StoreOptions, as_array, import_chunks, pieces

Source: TypeAlias = "str | Path | np.ndarray[Any, Any] | torch.Tensor"


def from_npy(
    features: Source,
    path: str | Path,
    *,
    labels: Source | None = None,
    ids: Source | None = None,
    columns: Mapping[str, Source] | None = None,
    **options: Unpack[StoreOptions],
) -> FeatureStore:
    """Make a store from ``.npy`` files or arrays with one entry per row; files are mapped and read in pieces.

    Args:
        features: (N, D), floating point: the name of a file, or an array.
        path: the folder of the new store; it appears when all rows are in it.
        labels: class ids (N,) or class probabilities (N, K).
        ids: strings or integers (N,).
        columns: further columns by name.
        options: ``dtype`` of the store (None: float16 for float16, else float32), ``metadata`` and ``shard_rows`` as in
            `FeatureStore.create`, ``allow_nonfinite`` as in `FeatureStore.append`.

    Raises:
        FileExistsError: ``path`` exists.
        InputFileError: a file is not an ``.npy`` file, or holds Python objects.
        ValueError: arrays of different lengths, or rows that `FeatureStore.append` refuses.

    >>> import tempfile, numpy as np
    >>> folder = tempfile.mkdtemp()
    >>> np.save(f"{folder}/x.npy", np.ones((3, 2), dtype=np.float32))
    >>> store = from_npy(f"{folder}/x.npy", f"{folder}/store", labels=np.array([0, 1, 0]))
    >>> store.shape, store.labels[:]
    ((3, 2), tensor([0, 1, 0]))
    """
    given = {"features": features, "labels": labels, "ids": ids}
    arrays = {name: _opened(source) for name, source in given.items() if source is not None}
    others = {name: _opened(source) for name, source in (columns or {}).items()}
    count = len(arrays["features"])
    for name, array in [*arrays.items(), *others.items()]:
        if len(array) != count:
            raise ValueError(f"`{name}` must have one entry per row of `features`, {count}, got {len(array)}")

    def chunks() -> Iterator[Chunk]:
        for rows in pieces(count):
            part = {name: array[rows] for name, array in arrays.items()}
            yield Chunk(**part, columns={name: array[rows] for name, array in others.items()})

    source = str(features) if isinstance(features, (str, Path)) else "`features`"
    return import_chunks(chunks(), path, source, **options)


def to_npy(store: FeatureStore, path: str | Path, *, column: str = "features") -> Path:
    """Write one column of a store as a ``.npy`` file: numbers or truth values; bfloat16 becomes float32.

    Returns:
        The file's path.

    Raises:
        ValueError: an unknown column, or a column of strings.
    """
    rows = store.column(column)
    if isinstance(rows, ShardedStrings):
        raise ValueError(f"`column` must not be one of {STRING}s, got {column!r}: to_parquet writes those")
    kind = as_array(rows[:0]).dtype
    header = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": rows.shape}
    with new_file(Path(path)) as partial, partial.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for piece in pieces(len(rows)):
            file.write(as_array(rows[piece]).tobytes())
    return Path(path)


def _opened(source: Source) -> np.ndarray[Any, Any]:
    if isinstance(source, (str, Path)):
        array = read_npy(Path(source))
    else:
        array = as_array(source.detach().cpu() if isinstance(source, torch.Tensor) else source)
    if array.ndim == 0:
        raise ValueError(f"an array must have one entry per row, got a single {array.dtype}")
    return array
