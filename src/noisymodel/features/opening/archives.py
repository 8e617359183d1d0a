"""``.npz`` archives: one array of them, read as a stream, compressed or not."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from torch import Tensor

from ...errors import InputFileError
from ...files.reading import npy_header
from .rows import FeatureFile, as_tensor, check_layout, chosen_key

_WHOLE = 256 << 20  # bytes of an array that has to be read whole
_PIECE = 1 << 20
_DAMAGES = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)


@dataclass(frozen=True)
class ArchivedFile(FeatureFile):
    """An array of an ``.npz`` archive."""

    stored: np.dtype[Any]
    fortran: bool

    def blocks(self, first: int, last: int, size: int) -> Iterator[Tensor]:
        """See `FeatureFile`."""
        with _opened(self.path) as archive, archive.open(f"{self.key}.npy") as stream:
            npy_header(stream, self.path)
            if self.fortran:
                columns = self._read(stream, self.num_features, self.num_rows)
                yield from (
                    as_tensor(columns[:, start : min(start + size, last)].T) for start in range(first, last, size)
                )
            else:
                _skip(stream, first * self.num_features * self.stored.itemsize)
                for start in range(first, last, size):
                    yield as_tensor(self._read(stream, min(size, last - start), self.num_features))
            if last == self.num_rows:
                stream.read(1)  # the end, where the checksum is compared

    def _read(self, stream: IO[bytes], *shape: int) -> np.ndarray[Any, Any]:
        array = np.empty(shape, dtype=self.stored)
        flat, place = array.reshape(-1).view(np.uint8), 0
        while place < len(flat):
            piece = stream.read(min(_PIECE, len(flat) - place))
            if not piece:
                raise InputFileError(f"{self.path} is damaged: the array {self.key!r} ends early")
            flat[place : place + len(piece)] = np.frombuffer(piece, np.uint8)
            place += len(piece)
        return array


def open_npz(path: Path, key: str | None) -> ArchivedFile:
    """An array of an archive, of which only the headers are read."""
    with _opened(path) as archive:
        found: dict[str, tuple[tuple[int, ...], bool, np.dtype[Any]]] = {}
        for name in archive.namelist():
            if name.endswith(".npy"):
                with archive.open(name) as stream:
                    found[name.removesuffix(".npy")] = _header(stream, path)
    name = chosen_key(
        path, {one: dtype.kind == "f" and len(shape) == 2 for one, (shape, _, dtype) in found.items()}, key
    )
    shape, fortran, dtype = found[name]
    check_layout(path, f"{name!r}", str(dtype), shape, floating=dtype.kind == "f")
    if fortran and shape[0] * shape[1] * dtype.itemsize > _WHOLE:
        raise InputFileError(
            f"{path}: {name!r} lies column after column (Fortran order), which no archive can be read by rows from: "
            "save np.ascontiguousarray of it, or as .npy"
        )
    rows, width = shape
    return ArchivedFile(path, name, rows, width, dtype.newbyteorder("=").name, dtype, fortran)


def _header(stream: IO[bytes], path: Path) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """The header, of an array of objects or records too: another array may be the one that is wanted."""
    try:
        return npy_header(stream, path)
    except InputFileError:
        return (), False, np.dtype(object)


@contextmanager
def _opened(path: Path) -> Generator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except InputFileError:
        raise
    except _DAMAGES as error:
        raise InputFileError(f"{path} is no .npz archive, or damaged ({' '.join(str(error).split())})") from None


def _skip(stream: IO[bytes], count: int) -> None:
    while count > 0:
        piece = stream.read(min(_PIECE, count))
        if not piece:
            raise EOFError("the array ends early")
        count -= len(piece)
