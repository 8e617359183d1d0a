"""Arrays of class labels in ``.npy``, ``.npz`` and safetensors files, as the columns of a table."""

from __future__ import annotations

import shutil
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InputFileError
from .reading import map_npy, npy_header, parse_json, product, reason, shown
from .tables import Row, column_places

ONLY = "labels"  # the name of the one array of an ``.npy`` file
_SAFETENSORS = {
    "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1", "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "|u1",
    "BOOL": "|b1", "F64": "<f8", "F32": "<f4", "F16": "<f2",
}  # fmt: skip
_PIECE = 1 << 16
_LARGEST_HEADER = 100 << 20  # of a safetensors file, as that format says
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


class ArrayTable:
    """One-dimensional arrays of integers or texts, by name; that of an ``.npy`` file is called ``labels``."""

    unit = "row"

    def __init__(self, path: Path) -> None:
        self.path = path
        self._suffix = path.suffix.lower()

    def columns(self) -> list[str]:
        """See `Table`: the arrays with one entry for each row."""
        if self._suffix == ".npy":
            return [ONLY]
        if self._suffix == ".npz":
            return [name for name, (shape, _) in npz_arrays(self.path).items() if len(shape) == 1]
        return [name for name, item in safetensors_header(self.path)[0].items() if len(item["shape"]) == 1]

    def values(self, *names: str) -> Iterator[Row]:
        """See `Table`."""
        arrays = [self._array(name) for name in names]
        for start in range(0, len(arrays[0]), _PIECE):
            texts = [array[start : start + _PIECE].astype(str).tolist() for array in arrays]
            yield from enumerate(zip(*texts, strict=True), start=start)

    def write(self, out: Path, name: str, changed: Iterable[str | None]) -> None:
        """See `Table`: the dtype stays, but for longer texts; the other arrays of the file are copied."""
        old = self._array(name)
        texts = [str(was) if new is None else new for was, new in zip(old, changed, strict=True)]
        new = np.array(texts) if old.dtype.kind == "U" else np.array([int(text) for text in texts]).astype(old.dtype)
        if old.dtype.kind != "U" and [str(value) for value in new] != texts:
            raise InputFileError(f"{shown(self.path)}: {old.dtype} cannot hold all classes: save a wider integer")
        if self._suffix == ".npy":
            np.save(out, new)
        elif self._suffix == ".npz":
            _copy_archive(self.path, out, f"{name}.npy", new)
        else:
            header, begin = safetensors_header(self.path)
            shutil.copyfile(self.path, out)
            with out.open("r+b") as file:
                file.seek(begin + header[name]["data_offsets"][0])
                file.write(np.ascontiguousarray(new).tobytes())

    def _array(self, name: str) -> npt.NDArray[Any]:
        column_places(self.path, self.columns(), [name])
        if self._suffix == ".npy":
            array = map_npy(self.path)
        elif self._suffix == ".npz":
            array = read_npz(self.path, name)
        else:
            header, begin = safetensors_header(self.path)
            item = header[name]
            dtype = np.dtype(_SAFETENSORS.get(item["dtype"], "V1"))
            array = np.zeros(0, dtype)
            if item["shape"][0] and dtype.kind != "V":
                place = begin + item["data_offsets"][0]
                array = np.memmap(self.path, dtype, "r", place, tuple(item["shape"]))
        if array.ndim != 1 or array.dtype.kind not in "iuU":
            raise InputFileError(
                f"{shown(self.path)}: {name!r} must be labels, integers or texts of shape (N,), got {array.dtype} of "
                f"shape {tuple(array.shape)}"
            )
        return array


def npz_arrays(path: Path) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
    """Shape and dtype of each array of an archive; of arrays of objects or records ``((), object)``."""
    found: dict[str, tuple[tuple[int, ...], np.dtype[Any]]] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.endswith(".npy"):
                    with archive.open(name) as stream:
                        try:
                            shape, _, dtype = npy_header(stream, path)
                        except InputFileError:
                            shape, dtype = (), np.dtype(object)
                    found[name.removesuffix(".npy")] = (shape, dtype)
    except _DAMAGES as error:
        raise InputFileError(f"{shown(path)} is no .npz archive, or damaged ({reason(error)})") from None
    return found


def read_npz(path: Path, name: str) -> npt.NDArray[Any]:
    """An array of an archive, in memory."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as stream:
            shape, fortran, dtype = npy_header(stream, path)
            wanted = product(shape) * dtype.itemsize
            content = stream.read(wanted + 1)
            if len(content) != wanted:
                raise InputFileError(f"{shown(path)} is damaged: {name!r} has {len(content)} bytes of {wanted}")
            return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")
    except _DAMAGES as error:
        if isinstance(error, InputFileError):
            raise
        raise InputFileError(f"{shown(path)} is no .npz archive, or damaged ({reason(error)})") from None


def safetensors_header(path: Path) -> tuple[dict[str, dict[str, Any]], int]:
    """The entries of a safetensors file (``dtype``, ``shape``, ``data_offsets``), and where the data begin.

    Raises:
        InputFileError: it is no safetensors file, or its header and its size do not belong together.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > min(_LARGEST_HEADER, path.stat().st_size):
                raise ValueError(f"a header of {length} bytes")
            header = parse_json(file.read(length))
        with safe_open(path, framework="numpy"):  # checks offsets, shapes and the file's size; maps nothing that stays
            pass
        header.pop("__metadata__", None)
    except (SafetensorError, OSError, ValueError, AttributeError) as error:
        raise InputFileError(f"{shown(path)} is no safetensors file, or damaged ({reason(error)})") from None
    return header, 8 + length


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
