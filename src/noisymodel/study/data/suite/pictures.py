"""Pictures of a suite: their source, and their decoding on use."""

from __future__ import annotations

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ....errors import InputFileError, MissingExtraError
from .declaration import PicturesTable

Floats = NDArray[np.float32]
TO_GREY = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""The shares of red, green and blue in a grey picture."""


class Pictures(Protocol):
    """Pictures by number, not decoded yet."""

    def name(self, row: int) -> str:
        """The name of a picture in errors."""
        ...

    def read(self, row: int) -> Any:
        """A picture of PIL, or an array ``(h, w)``, ``(h, w, c)`` or ``(c, h, w)``."""
        ...


class FilePictures(NamedTuple):
    """Pictures in files."""

    folder: Path
    paths: Sequence[str]

    def name(self, row: int) -> str:
        """The path."""
        return str(self.folder / self.paths[row])

    def read(self, row: int) -> Any:
        """Decoded by PIL."""
        return opened((self.folder / self.paths[row]).read_bytes())


class ArrayPictures(NamedTuple):
    """Pictures in one array, in memory or mapped."""

    array: NDArray[Any]
    place: str

    def name(self, row: int) -> str:
        """The file, and the row in it."""
        return f"{self.place}, row {row}"

    def read(self, row: int) -> Any:
        """A row."""
        return self.array[row]


def opened(content: bytes) -> Any:
    """A picture of PIL from the bytes of its file."""
    image = _pillow()
    try:
        picture = image.open(io.BytesIO(content))
        picture.load()
    except image.DecompressionBombError as error:
        raise ValueError(str(error)) from None
    return picture


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError:
        raise MissingExtraError("Pillow", extra="study", purpose="reading pictures") from None
    return Image


class LazyPictures:
    """Rows of pictures as float32 in [0, 1], decoded when they are asked for.

    Args:
        pictures: where they come from.
        rows: which of them, in which order.
        table: size, channels, cut.
        border: pixels cut from each side first.
    """

    def __init__(self, pictures: Pictures, rows: NDArray[np.int64], table: PicturesTable, *, border: int = 0) -> None:
        self.pictures, self.rows, self.table, self.border = pictures, rows, table, border

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """``(n, c, h, w)``."""
        return len(self.rows), self.table.channels, self.table.size, self.table.size

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, indices: NDArray[np.int64]) -> Floats:
        """``(k, c, h, w)``.

        Raises:
            InputFileError: a picture cannot be read; its name.
        """
        chosen = self.rows[indices]
        found = np.empty((len(chosen), *self.shape[1:]), dtype=np.float32)
        with ThreadPoolExecutor(self.table.threads) as pool:
            for place, picture in enumerate(pool.map(self._picture, chosen.tolist())):
                found[place] = picture
        return found

    def _picture(self, row: int) -> Floats:
        try:
            return prepared(self.pictures.read(row), self.table, self.border)
        except (OSError, SyntaxError, ValueError) as error:
            raise InputFileError(f"{self.pictures.name(row)} cannot be read as a picture: {error}") from None


def prepared(picture: Any, table: PicturesTable, border: int = 0) -> Floats:
    """A picture as ``(c, size, size)``, float32 in [0, 1]."""
    channels = _channels(picture, table.channels)
    if border:
        if min(channels.shape[1:]) <= 2 * border:
            raise ValueError(
                f"it has {channels.shape[2]} × {channels.shape[1]} pixels, a border of {border} leaves none"
            )
        channels = channels[:, border:-border, border:-border]
    size = table.size
    if channels.shape[1:] == (size, size) and table.shorter_side in (0, size):
        return channels
    height, width = channels.shape[1:]
    if table.fit == "squash":
        return _resized(channels, size, size)
    scale = (table.shorter_side or size) / min(height, width)
    tall, wide = max(size, round(height * scale)), max(size, round(width * scale))
    top, left = (tall - size) // 2, (wide - size) // 2
    return _resized(channels, tall, wide)[:, top : top + size, left : left + size]


def _channels(picture: Any, count: int) -> Floats:
    """``(c, h, w)`` in [0, 1], one channel or three."""
    if not isinstance(picture, np.ndarray):
        if picture.mode.startswith(("I", "F")):  # 16 bits and more: PIL's own conversion would cut them off
            picture = np.asarray(picture)
        else:
            if picture.mode in ("P", "LA", "PA") or "transparency" in picture.info:
                picture = picture.convert("RGBA")
            picture = np.asarray(picture.convert("L" if count == 1 else "RGB"))
    array = _scaled(picture)
    if array.ndim == 2:
        array = array[None]
    elif array.ndim == 3 and array.shape[0] not in (1, 3):
        array = array.transpose(2, 0, 1)
    if array.ndim != 3 or array.shape[0] not in (1, 3):
        raise ValueError(f"expected (h, w), (h, w, c) or (c, h, w) with 1 or 3 channels, got shape {picture.shape}")
    if array.shape[0] == count:
        return np.ascontiguousarray(array)
    if count == 3:
        return np.repeat(array, 3, axis=0)
    return np.tensordot(TO_GREY, array, 1)[None].astype(np.float32)


def _scaled(array: NDArray[Any]) -> Floats:
    if array.dtype == np.uint8:
        return (array / 255).astype(np.float32)
    if array.dtype.name in ("uint16", "int32"):  # int32 is what PIL makes of some files with 16 bits
        if array.size and (array.min() < 0 or array.max() > 65535):
            raise ValueError(f"integers of [{array.min()}, {array.max()}], expected at most 16 bits")
        return (array / 65535).astype(np.float32)
    if array.dtype.kind != "f":
        raise ValueError(f"pixels are {array.dtype}, expected uint8, uint16 or floating point in [0, 1]")
    if array.size and not (array.min() >= 0 and array.max() <= 1):  # also for NaN
        raise ValueError(f"floating point of [{array.min():g}, {array.max():g}], expected [0, 1]")
    return array.astype(np.float32)


def _resized(channels: Floats, height: int, width: int) -> Floats:
    image = _pillow()
    planes = [image.fromarray(plane).resize((width, height), image.Resampling.BICUBIC) for plane in channels]
    return np.clip(np.stack(list(map(np.asarray, planes))), 0, 1)
