"""Rows that would take too much memory: in an unnamed temporary file, mapped where they are read."""

from __future__ import annotations

import math
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

LARGE = 1 << 27
"""Rows of more bytes are spilled."""
PIECE = 8192
"""So many rows are read or computed at a time."""

Array = npt.NDArray[Any]


class SpilledRows:
    """Rows (N, D) in a temporary file, which ends with this object and the maps of it.

    Append all rows, then read them. `pieces` maps each piece on its own, so that its pages are given back before the
    next; `whole` is one map of all rows, whose pages the system takes back when memory is short.
    """

    device = torch.device("cpu")

    def __init__(self, width: int, dtype: np.dtype[Any]) -> None:
        self._file = tempfile.TemporaryFile(prefix="noisymodel-")  # noqa: SIM115 - open as long as the rows are read
        weakref.finalize(self, self._file.close)
        self._stored = dtype
        self.dtype = torch.from_numpy(np.empty(0, dtype)).dtype
        self.shape = (0, width)

    def __len__(self) -> int:
        return self.shape[0]

    def append(self, rows: Array) -> None:
        """Write rows (n, D) behind those that are there.

        Raises:
            OSError: if the disk is full.
        """
        try:
            self._file.write(np.ascontiguousarray(rows, self._stored).data)
            self._file.flush()
        except OSError as error:
            told = f"{error.strerror} in {tempfile.gettempdir()}, where large features are kept while they are used"
            raise OSError(error.errno, f"{told}: name a folder with room in the environment variable TMPDIR") from error
        self.shape = (len(self) + len(rows), self.shape[1])

    def whole(self) -> Array:
        """All rows, as one map."""
        return self._mapped(0, len(self))

    def pieces(self) -> Iterator[Tensor]:
        """Yield all rows in tensors of `PIECE` rows."""
        for begin in range(0, len(self), PIECE):
            yield torch.from_numpy(self._mapped(begin, min(PIECE, len(self) - begin)))

    def _mapped(self, begin: int, count: int) -> Array:
        width = self.shape[1]
        offset = begin * width * self._stored.itemsize
        return np.memmap(self._file, self._stored, "r+", offset, (count, width)).view(np.ndarray)


Matrix = Tensor | SpilledRows


def pieces(rows: Matrix) -> Iterable[Tensor]:
    """The rows in tensors of `PIECE` rows; a tensor's are views, one of all rows on another device than the CPU."""
    if isinstance(rows, SpilledRows):
        return rows.pieces()
    return rows.split(PIECE) if rows.device.type == "cpu" else [rows]


def mapped(function: Callable[[Tensor], Tensor], rows: Tensor, width: int) -> Matrix:
    """``function`` (n, D) → (n, width) of all rows, a piece at a time; a large result on the CPU is spilled."""
    if rows.device.type == "cpu" and _is_large(len(rows), width, rows.element_size()):
        found = SpilledRows(width, rows[:0].numpy().dtype)
        for piece in rows.split(PIECE):
            found.append(function(piece).numpy())
        return found
    result = rows.new_empty(len(rows), width)
    for part, piece in zip(result.split(PIECE), rows.split(PIECE), strict=True):
        part.copy_(function(piece))
    return result


def chosen(rows: Matrix, mask: Tensor) -> Matrix:
    """The rows where ``mask`` (N,) is true; those of spilled rows are spilled."""
    if isinstance(rows, Tensor):
        return rows[mask]
    found = SpilledRows(rows.shape[1], np.dtype(str(rows.dtype).removeprefix("torch.")))
    for piece, own in zip(rows.pieces(), mask.split(PIECE), strict=True):
        found.append(piece[own].numpy())
    return found


def taken(rows: Array, index: npt.NDArray[np.int64], dtype: npt.DTypeLike | None = None) -> Array:
    """``rows[index]`` (n, ...) in ``dtype``; a large result is a map of spilled rows."""
    parts = (rows[index[begin : begin + PIECE]] for begin in range(0, len(index), PIECE))
    return joined(parts, (len(index), *rows.shape[1:]), np.dtype(dtype or rows.dtype))


def joined(parts: Iterable[Array], shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """The parts (n, ...), one behind the other, as an array of ``shape``; a large one is a map of spilled rows."""
    count, width = shape[0], math.prod(shape[1:])
    if _is_large(count, width, dtype.itemsize):
        spilled = SpilledRows(width, dtype)
        for part in parts:
            spilled.append(part.reshape(len(part), width))
        return spilled.whole().reshape(shape)
    found, begin = np.empty(shape, dtype), 0
    for part in parts:
        found[begin : begin + len(part)] = part
        begin += len(part)
    return found


def _is_large(count: int, width: int, size: int) -> bool:
    return count * width * size > LARGE
