"""The interface of all files of features: a matrix (N, D) that is read in blocks of rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ...errors import InputFileError
from ...files.reading import shown
from ...files.tables import listed

BLOCK_BYTES = 8 << 20


@dataclass(frozen=True)
class FeatureFile(ABC):
    """Features in a file: N rows of D floating-point numbers; one block at a time is in memory."""

    path: Path
    key: str | None  # the array or column of the file
    num_rows: int
    num_features: int
    dtype: str  # such as "float32"

    @abstractmethod
    def parts(self, size: int) -> Iterator[Tensor]:
        """Yield all rows from the first on as CPU tensors of at most ``size`` rows; for `blocks`."""

    def blocks(self, first: int, last: int, size: int) -> Iterator[Tensor]:
        """Yield the rows ``first`` to ``last`` (exclusive) as CPU tensors (size, D); the last may be smaller.

        Raises:
            InputFileError: the file is damaged, or its rows contradict its header.
        """
        row = 0
        waiting = torch.empty(0)
        for part in self.parts(size):
            wanted = part[max(0, first - row) : last - row]
            waiting = torch.cat([waiting, wanted]) if len(waiting) else wanted
            if len(waiting) >= size:
                yield waiting[:size]
                waiting = waiting[size:]
            row += len(part)
            if row >= last:
                break
        if len(waiting):
            yield waiting

    def array(self) -> npt.NDArray[Any]:
        """All rows (N, D): mapped into memory if numpy can use the file's bytes, else read; bfloat16 as float32."""
        rows: npt.NDArray[Any] | None = None
        start = 0
        for block in self.blocks(0, self.num_rows, block_rows(self.num_features)):
            part = (block.float() if block.dtype == torch.bfloat16 else block).numpy()
            if rows is None:
                rows = np.empty((self.num_rows, self.num_features), part.dtype)
            rows[start : start + len(part)] = part
            start += len(part)
        if rows is None or start != self.num_rows:
            raise InputFileError(f"{shown(self.path)} ends at row {start} of {self.num_rows}: it is damaged")
        return rows


def block_rows(num_features: int) -> int:
    """The number of rows of this width to read at a time."""
    return max(1, min(1 << 16, BLOCK_BYTES // (8 * num_features)))


def as_tensor(rows: npt.NDArray[Any]) -> Tensor:
    """Convert rows of any floating dtype of numpy to a tensor; dtypes that torch lacks become float64."""
    plain = rows.dtype.newbyteorder("=")
    return torch.from_numpy(np.require(rows, plain if plain.itemsize < 8 else np.float64, ["C", "W"]))


def check_layout(path: Path, what: str, dtype: str, shape: Sequence[int], *, floating: bool) -> None:
    """Raise unless the array is a floating-point matrix with rows and columns."""
    if len(shape) != 2 or not floating:
        raise InputFileError(
            f"{path}: {what} must be floating point and of shape (N, D), got {dtype} of shape {tuple(shape)}"
        )
    if 0 in shape:
        raise InputFileError(f"{path}: {what} is empty, its shape is {tuple(shape)}")


def chosen_key(path: Path, present: Mapping[str, bool], key: str | None) -> str:
    """The array to open: the named one, else ``features``, else the only floating-point matrix.

    Args:
        path: for messages.
        present: the names in the file -> whether the array is a floating-point matrix.
        key: a name, or None.
    """
    if key is not None:
        if key not in present:
            raise InputFileError(f"{path} has no array {key!r}, only {listed(present)}")
        return key
    matrices = [name for name, is_matrix in present.items() if is_matrix]
    if "features" in matrices or len(matrices) == 1:
        return "features" if "features" in matrices else matrices[0]
    if not matrices:
        raise InputFileError(f"{path} holds no floating-point matrix, only {listed(present)}")
    raise InputFileError(f"{path} holds several matrices, {listed(matrices)}: name one as the key")
