"""Arrays in ``.npy``, ``.npz`` and safetensors files: their headers, their rows in pieces, and columns of labels."""

from __future__ import annotations

import math
import shutil
import zipfile
import zlib
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from ..errors import InputFileError
from .reading import check_file, parse_json, reason, shown
from .tables import Row, column_places

ONLY = "labels"  # the name of the one array of an ``.npy`` file
SAFETENSORS = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16",
    "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8",
    "U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8", "BOOL": "bool",
}  # fmt: skip
_PIECE = 1 << 16
_LARGEST_HEADER = 100 << 20  # the limit of the safetensors format
_DAMAGES = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    MemoryError,
    OSError,
    ValueError,
)


@dataclass(frozen=True)
class StoredArray:
    """An array in a file; its header has been read.

    Attributes:
        path: the file.
        name: the name of the array in the file.
        shape: the shape of the array.
        dtype: such as ``"float32"`` or ``"bfloat16"``.
        stored: numpy's dtype of the stored numbers; for bfloat16 an integer dtype of their bits.
        offset: the position of the first number; None in an archive.
        fortran: whether the array is stored column by column.
    """

    path: Path
    name: str
    shape: tuple[int, ...]
    dtype: str
    stored: np.dtype[Any]
    offset: int | None
    fortran: bool = False

    @property
    def floating(self) -> bool:
        """Whether the dtype is floating point."""
        return self.stored.kind == "f" or self.dtype == "bfloat16"

    def whole(self) -> npt.NDArray[Any]:
        """The whole array, mapped into memory for reading; from an archive it is read.

        Raises:
            InputFileError: the file ends early or is damaged.
        """
        if not math.prod(self.shape) * self.stored.itemsize:
            return np.zeros(self.shape, self.stored)
        if self.offset is None:
            (only,) = self._archived(0, self.shape[0], self.shape[0])
            return only
        if self.path.stat().st_size < self.offset + math.prod(self.shape) * self.stored.itemsize:
            raise InputFileError(f"{shown(self.path)} ends before its last row: it is damaged or still being written")
        return np.memmap(self.path, self.stored, "r", self.offset, self.shape, "F" if self.fortran else "C")

    def pieces(self, first: int, last: int, size: int) -> Iterator[npt.NDArray[Any]]:
        """Yield the rows ``first`` to ``last`` (exclusive), ``size`` at a time."""
        if self.offset is None:
            yield from self._archived(first, last, size)
        else:
            for start in range(first, last, size):
                yield self.whole()[start : min(start + size, last)]  # a separate map, so that its pages are released

    def _archived(self, first: int, last: int, size: int) -> Iterator[npt.NDArray[Any]]:
        rest = self.shape[1:]
        with _archive(self.path) as archive, archive.open(f"{self.name}.npy") as stream:
            _npy_header(stream, self.path)
            if self.fortran:
                flat = np.frombuffer(self._read(stream, math.prod(self.shape)), self.stored)
                rows = flat.reshape(self.shape, order="F")
                yield from (rows[start : min(start + size, last)] for start in range(first, last, size))
            else:
                stream.seek(first * math.prod(rest) * self.stored.itemsize, 1)
                for start in range(first, last, size):
                    count = min(size, last - start)
                    content = self._read(stream, count * math.prod(rest))
                    yield np.frombuffer(content, self.stored).reshape(count, *rest)
            if last == self.shape[0]:
                stream.read(1)  # reading the end makes zipfile compare the checksum

    def _read(self, stream: IO[bytes], count: int) -> bytes:
        content = stream.read(count * self.stored.itemsize)
        if len(content) != count * self.stored.itemsize:
            raise InputFileError(f"{shown(self.path)} is damaged: the array {self.name!r} ends early")
        return content


def arrays_in(path: Path) -> dict[str, StoredArray]:
    """The arrays of a file by name; the one array of an ``.npy`` file is called ``labels``. Only headers are read.

    Raises:
        InputFileError: the file is of another format, its size contradicts its header, or an ``.npy`` file holds
            neither plain numbers nor texts.
    """
    suffix = path.suffix.lower()
    try:
        return _npy(path) if suffix == ".npy" else _npz(path) if suffix == ".npz" else _safetensors(path)
    except OSError as error:
        raise InputFileError(f"{shown(path)} cannot be read ({reason(error)})") from None


def read_npy(path: Path) -> npt.NDArray[Any]:
    """The array of an ``.npy`` file, mapped into memory for reading; see `arrays_in`."""
    return _npy(check_file(path))[ONLY].whole()


class ArrayTable:
    """The one-dimensional arrays of integers or texts in a file, as columns of a table."""

    unit = "row"

    def __init__(self, path: Path) -> None:
        self.path = path
        self._suffix = path.suffix.lower()

    def columns(self) -> list[str]:
        """See `Table`: the arrays with one entry for each row."""
        found = arrays_in(self.path)
        return [name for name, array in found.items() if len(array.shape) == 1 or self._suffix == ".npy"]

    def values(self, *names: str) -> Iterator[Row]:
        """See `Table`."""
        arrays = [self._array(name)[1] for name in names]
        for start in range(0, len(arrays[0]), _PIECE):
            texts = [array[start : start + _PIECE].astype(str).tolist() for array in arrays]
            yield from enumerate(zip(*texts, strict=True), start=start)

    def write(self, out: Path, name: str, changed: Iterable[str | None]) -> None:
        """See `Table`: the dtype does not change, except for longer texts; other arrays of the file are copied."""
        stored, old = self._array(name)
        texts = [str(was) if new is None else new for was, new in zip(old, changed, strict=True)]
        new = np.array(texts) if old.dtype.kind == "U" else np.array([int(text) for text in texts]).astype(old.dtype)
        if old.dtype.kind != "U" and [str(value) for value in new] != texts:
            raise InputFileError(f"{shown(self.path)}: {old.dtype} cannot hold all classes: save a wider integer")
        if self._suffix == ".npy":
            np.save(out, new)
        elif stored.offset is None:
            _copy_archive(self.path, out, f"{name}.npy", new)
        else:
            shutil.copyfile(self.path, out)
            with out.open("r+b") as file:
                file.seek(stored.offset)
                file.write(np.ascontiguousarray(new).tobytes())

    def _array(self, name: str) -> tuple[StoredArray, npt.NDArray[Any]]:
        column_places(self.path, self.columns(), [name])
        found = arrays_in(self.path)[name]
        if len(found.shape) != 1 or found.stored.kind not in "iuU" or found.floating:
            raise InputFileError(
                f"{shown(self.path)}: {name!r} must be labels, integers or texts of shape (N,), got {found.dtype} of "
                f"shape {found.shape}"
            )
        return found, found.whole()


def _npy(path: Path) -> dict[str, StoredArray]:
    with path.open("rb") as file:
        shape, fortran, dtype = _npy_header(file, path)
        offset, size = file.tell(), path.stat().st_size
    wanted = offset + math.prod(shape) * dtype.itemsize
    if size < wanted:
        raise InputFileError(f"{shown(path)} is cut off: its header promises {wanted} bytes, it has {size}")
    if size > wanted:
        raise InputFileError(f"{shown(path)} has {size - wanted} bytes more than its header says: several arrays?")
    return {ONLY: StoredArray(path, ONLY, shape, dtype.newbyteorder("=").name, dtype, offset, fortran)}


def _npz(path: Path) -> dict[str, StoredArray]:
    """The arrays of an archive; arrays of objects or records get no shape."""
    found: dict[str, StoredArray] = {}
    with _archive(path) as archive:
        for member in archive.namelist():
            if member.endswith(".npy"):
                with archive.open(member) as stream:
                    try:
                        shape, fortran, dtype = _npy_header(stream, path)
                    except InputFileError:
                        shape, fortran, dtype = (), False, np.dtype(object)
                name = member.removesuffix(".npy")
                found[name] = StoredArray(path, name, shape, dtype.newbyteorder("=").name, dtype, None, fortran)
    return found


def _safetensors(path: Path) -> dict[str, StoredArray]:
    from safetensors import SafetensorError, safe_open

    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > min(_LARGEST_HEADER, path.stat().st_size):
                raise ValueError(f"a header of {length} bytes")
            header = parse_json(file.read(length))
        with safe_open(path, framework="numpy"):  # checks offsets, shapes and the file's size; keeps no map
            pass
        header.pop("__metadata__", None)
    except (SafetensorError, OSError, ValueError, AttributeError) as error:
        raise InputFileError(f"{shown(path)} is no safetensors file, or damaged ({reason(error)})") from None
    found: dict[str, StoredArray] = {}
    for name, item in header.items():
        dtype = str(SAFETENSORS.get(item["dtype"], item["dtype"]))
        known = "V1" if item["dtype"] not in SAFETENSORS else "i2" if dtype == "bfloat16" else dtype
        stored, offset = np.dtype(known).newbyteorder("<"), 8 + length + item["data_offsets"][0]
        found[name] = StoredArray(path, name, tuple(item["shape"]), dtype, stored, offset)
    return found


def _npy_header(stream: IO[bytes], path: Path) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read the header of an ``.npy`` stream up to its data: shape, whether it is stored by columns, and dtype."""
    try:
        version = np.lib.format.read_magic(stream)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, fortran, dtype = read(stream)
    except KeyError:
        raise InputFileError(f"{shown(path)} holds an array of records, not of numbers") from None
    except Exception as error:  # the header is parsed as Python, which can raise many errors
        raise InputFileError(f"{shown(path)} is no .npy file, or damaged ({reason(error)})") from None
    if dtype.hasobject:
        raise InputFileError(f"{shown(path)} holds Python objects, not numbers: save an array of numbers")
    if any(size < 0 for size in shape):
        raise InputFileError(f"{shown(path)} is no .npy file, or damaged (its shape is {shape})")
    return shape, fortran, dtype


@contextmanager
def _archive(path: Path) -> Generator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except InputFileError:
        raise
    except _DAMAGES as error:
        raise InputFileError(f"{shown(path)} is no .npz archive, or damaged ({reason(error)})") from None


def _copy_archive(path: Path, out: Path, member: str, array: npt.NDArray[Any]) -> None:
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(out, "w") as target:
        for info in source.infolist():
            plain = zipfile.ZipInfo(info.filename)  # without the time, so that equal noise gives equal files
            plain.compress_type = info.compress_type
            with source.open(info) as old, target.open(plain, "w", force_zip64=True) as new:
                if info.filename == member:
                    np.lib.format.write_array(new, array)
                else:
                    shutil.copyfileobj(old, new)
