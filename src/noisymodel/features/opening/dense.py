"""Matrices that lie in a file as bytes, one number after the other: ``.npy``, safetensors, raw bytes.

Blocks are read, not mapped: the pages of a mapped file count as resident memory of the process that has read them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ...errors import InputFileError
from ...files.arrays import safetensors_header
from ...files.reading import check_array_size, npy_header
from ...files.tables import listed
from .rows import FeatureFile, as_tensor, check_layout, chosen_key

_SAFETENSORS = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}


@dataclass(frozen=True)
class DenseFile(FeatureFile):
    """A matrix at a place of a file, row after row, or column after column (``fortran``)."""

    stored: np.dtype[Any]  # how the numbers lie there; of bfloat16 their bits, as integers
    offset: int
    fortran: bool = False

    def blocks(self, first: int, last: int, size: int) -> Iterator[Tensor]:
        """See `FeatureFile`."""
        with self.path.open("rb") as file:
            for start in range(first, last, size):
                count = min(size, last - start)
                yield self._tensor(
                    self._columns(file, start, count) if self.fortran else self._rows(file, start, count)
                )

    def array(self) -> npt.NDArray[Any]:
        """See `FeatureFile`."""
        native = self.stored.isnative and self.stored.itemsize <= 8 and self.dtype != "bfloat16"
        if not native or self.offset % self.stored.itemsize:
            return super().array()
        shape = (self.num_rows, self.num_features)
        return np.memmap(self.path, self.stored, "r", self.offset, shape, "F" if self.fortran else "C")

    def _rows(self, file: BinaryIO, start: int, count: int) -> npt.NDArray[Any]:
        rows = np.empty((count, self.num_features), dtype=self.stored)
        file.seek(self.offset + start * self.num_features * self.stored.itemsize)
        self._fill(file, rows)
        return rows

    def _columns(self, file: BinaryIO, start: int, count: int) -> npt.NDArray[Any]:
        columns = np.empty((self.num_features, count), dtype=self.stored)
        for place, column in enumerate(columns):
            file.seek(self.offset + (place * self.num_rows + start) * self.stored.itemsize)
            self._fill(file, column)
        return columns.T

    def _fill(self, file: BinaryIO, array: npt.NDArray[Any]) -> None:
        if file.readinto(array.view(np.uint8)) != array.nbytes:  # pyright: ignore[reportAttributeAccessIssue] - typeshed's BinaryIO has no readinto
            raise InputFileError(f"{self.path} ends before its last row: it is damaged or still being written")

    def _tensor(self, rows: npt.NDArray[Any]) -> Tensor:
        if self.dtype == "bfloat16":
            return torch.from_numpy(np.ascontiguousarray(rows)).view(torch.bfloat16)
        return as_tensor(rows)


def open_npy(path: Path) -> DenseFile:
    """The matrix of an ``.npy`` file, of which only the header is read."""
    with path.open("rb") as file:
        shape, fortran, dtype = npy_header(file, path)
        offset = file.tell()
    check_layout(path, "the array", str(dtype), shape, floating=dtype.kind == "f")
    check_array_size(path, offset + shape[0] * shape[1] * dtype.itemsize)
    rows, width = shape
    return DenseFile(path, None, rows, width, dtype.newbyteorder("=").name, dtype, offset, fortran)


def open_safetensors(path: Path, key: str | None) -> DenseFile:
    """A tensor of a safetensors file, of which only the header is read."""
    header, begin = safetensors_header(path)
    matrices = {name: item["dtype"] in _SAFETENSORS and len(item["shape"]) == 2 for name, item in header.items()}
    name = chosen_key(path, matrices, key)
    item = header[name]
    dtype, floating = str(_SAFETENSORS.get(item["dtype"], item["dtype"])), item["dtype"] in _SAFETENSORS
    check_layout(path, f"{name!r}", dtype, item["shape"], floating=floating)
    rows, width = item["shape"]
    stored = np.dtype("<i2" if dtype == "bfloat16" else dtype).newbyteorder("<")
    return DenseFile(path, name, rows, width, dtype, stored, begin + item["data_offsets"][0])


def open_raw(path: Path, dtype: str | None, num_features: int | None) -> DenseFile:
    """Bytes without a header, row after row, little-endian."""
    known = tuple(_SAFETENSORS.values())
    if dtype is None or num_features is None:
        raise InputFileError(f"{path} says nothing of its rows: give their dtype and their number of features")
    if dtype not in known:
        raise InputFileError(f"{path}: the dtype must be one of {listed(known)}, got {dtype!r}")
    stored = np.dtype("<i2" if dtype == "bfloat16" else dtype).newbyteorder("<")
    size, row = path.stat().st_size, num_features * stored.itemsize
    if size % row:
        raise InputFileError(
            f"{path} has {size} bytes, which is no whole number of rows of {num_features} x {dtype} ({row} bytes)"
        )
    check_layout(path, "the file", dtype, (size // row, num_features), floating=True)
    return DenseFile(path, None, size // row, num_features, dtype, stored, 0)
