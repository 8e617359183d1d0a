"""Feature matrices in ``.npy``, ``.npz`` and safetensors files, and in raw bytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ...errors import InputFileError
from ...files.arrays import StoredArray, arrays_in
from ...files.tables import listed
from .rows import FeatureFile, as_tensor, check_layout, chosen_key

_RAW = ("float64", "float32", "float16", "bfloat16")


@dataclass(frozen=True)
class ArrayFile(FeatureFile):
    """A feature matrix in a file of arrays."""

    stored: StoredArray

    def parts(self, size: int) -> Iterator[Tensor]:
        """See `FeatureFile`."""
        return self.blocks(0, self.num_rows, size)

    def blocks(self, first: int, last: int, size: int) -> Iterator[Tensor]:
        """See `FeatureFile`."""
        for rows in self.stored.pieces(first, last, size):
            tensor = as_tensor(rows)
            yield tensor.view(torch.bfloat16) if self.dtype == "bfloat16" else tensor

    def array(self) -> npt.NDArray[Any]:
        """See `FeatureFile`."""
        dtype, offset = self.stored.stored, self.stored.offset
        native = dtype.isnative and dtype.itemsize <= 8 and self.dtype != "bfloat16"
        return (
            self.stored.whole() if native and offset is not None and offset % dtype.itemsize == 0 else super().array()
        )


def open_arrays(path: Path, key: str | None) -> ArrayFile:
    """Open an array of a file; only the headers are read."""
    found = arrays_in(path)
    if path.suffix.lower() == ".npy":
        (only,) = found.values()
        return _array_file(only, None, "the array")
    name = chosen_key(path, {name: one.floating and len(one.shape) == 2 for name, one in found.items()}, key)
    return _array_file(found[name], name, f"{name!r}")


def open_raw(path: Path, dtype: str | None, num_features: int | None) -> ArrayFile:
    """Open a file of little-endian numbers without a header, row after row."""
    if dtype is None or num_features is None:
        raise InputFileError(f"{path} says nothing of its rows: give their dtype and their number of features")
    if dtype not in _RAW:
        raise InputFileError(f"{path}: the dtype must be one of {listed(_RAW)}, got {dtype!r}")
    stored = np.dtype("<i2" if dtype == "bfloat16" else dtype).newbyteorder("<")
    size, row = path.stat().st_size, num_features * stored.itemsize
    if size % row:
        raise InputFileError(
            f"{path} has {size} bytes, which is no whole number of rows of {num_features} x {dtype} ({row} bytes)"
        )
    return _array_file(StoredArray(path, "", (size // row, num_features), dtype, stored, 0), None, "the file")


def _array_file(stored: StoredArray, key: str | None, what: str) -> ArrayFile:
    check_layout(stored.path, what, stored.dtype, stored.shape, floating=stored.floating)
    rows, width = stored.shape
    return ArrayFile(stored.path, key, rows, width, stored.dtype, stored)
