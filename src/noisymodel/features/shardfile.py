"""One shard: a safetensors file, written from pieces and read through a memory map."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np
import torch
from torch import Tensor

from ..errors import FeatureStoreError
from ..files import file_checksum, write_file
from ..files.arrays import SAFETENSORS
from ..files.reading import parse_json
from .manifest import STRING, ColumnType, ShardRecord, shard_name

DTYPES: dict[str, torch.dtype] = {name: getattr(torch, name) for name in SAFETENSORS.values()}
_NAMES = {DTYPES[name]: code for code, name in SAFETENSORS.items()}
_LENGTH = 8  # bytes of the header's length

Values: TypeAlias = Tensor | np.ndarray[Any, Any]
"""Rows of one column in memory: a tensor (n, ...), or an array of n texts in UTF-8."""


class Entry(NamedTuple):
    """A tensor in a safetensors file."""

    dtype: torch.dtype
    shape: tuple[int, ...]


def entries(types: Mapping[str, ColumnType], rows: int, text_bytes: Mapping[str, int]) -> dict[str, Entry]:
    """The tensors of a shard in the order of the file: by descending size of an element, so that all are aligned."""
    found: dict[str, Entry] = {}
    for name, kind in types.items():
        if kind.dtype == STRING:
            found[f"{name}.offsets"] = Entry(torch.int64, (rows + 1,))
            found[f"{name}.bytes"] = Entry(torch.uint8, (text_bytes[name],))
        else:
            found[name] = Entry(DTYPES[kind.dtype], (rows, *kind.shape))
    return dict(sorted(found.items(), key=lambda item: (-item[1].dtype.itemsize, item[0])))


def write_shard(
    folder: Path, number: int, types: Mapping[str, ColumnType], rows: Sequence[Mapping[str, Values]]
) -> ShardRecord:
    """Write the columns of some rows, given in pieces, as a shard."""
    content: dict[str, list[memoryview]] = {}
    texts: dict[str, int] = {}
    for name, kind in types.items():
        parts = [part[name] for part in rows]
        if kind.dtype == STRING:
            encoded = cast("list[bytes]", [text for part in parts for text in part])
            ends = torch.tensor([0, *map(len, encoded)], device="cpu").cumsum(0)
            content[f"{name}.offsets"] = [_bytes(ends)]
            content[f"{name}.bytes"] = [memoryview(b"".join(encoded))]
            texts[name] = int(ends[-1])
        else:
            content[name] = [_bytes(part) for part in parts if isinstance(part, Tensor)]
    count = sum(len(part["features"]) for part in rows)
    layout = entries(types, count, texts)
    header, _ = _header(layout)
    path = folder / shard_name(number)
    pieces = (piece for name in layout for piece in content[name] if piece.nbytes)
    size, checksum = write_file(path, chain([header], pieces))
    return ShardRecord(path.name, count, size, checksum)


def _bytes(piece: Tensor) -> memoryview:
    return memoryview(cast("Any", piece.contiguous().flatten().view(torch.uint8).numpy()))


def _header(layout: Mapping[str, Entry]) -> tuple[bytes, int]:
    record: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    start = 0
    for name, (dtype, shape) in layout.items():
        end = start + dtype.itemsize * torch.Size(shape).numel()
        record[name] = {"dtype": _NAMES[dtype], "shape": list(shape), "data_offsets": [start, end]}
        start = end
    text = json.dumps(record, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 64 + 64 - _LENGTH)  # the data start at a multiple of 64 bytes
    return len(text).to_bytes(_LENGTH, "little") + text, start


def _mapped_bytes(path: Path, size: int) -> Tensor:
    """Map the bytes of a file; numpy opens paths that are not UTF-8, which torch cannot, but keeps the file open."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return torch.from_numpy(np.memmap(path, np.uint8, "c", shape=(size,)))
    return torch.from_file(str(path), shared=False, size=size, dtype=torch.uint8)


class Shard:
    """A committed shard of a store, mapped into memory when it is first needed."""

    def __init__(self, folder: Path, record: ShardRecord, types: Mapping[str, ColumnType]) -> None:
        self.path = folder / record.file
        self.record = record
        self._types = types
        self._mapped: dict[str, Tensor] | None = None
        self._sizes: dict[str, int] = {}
        self._checked: set[str] = set()

    def check_size(self) -> None:
        """Raise `FeatureStoreError` unless the file exists with its recorded size."""
        try:
            size = self.path.stat().st_size
        except FileNotFoundError:
            raise FeatureStoreError(f"{self.path} is missing: restore it from a copy") from None
        if size != self.record.bytes:
            raise FeatureStoreError(
                f"{self.path} is damaged: it must have {self.record.bytes} bytes and has {size}; restore it from a copy"
            )

    def verify(self) -> None:
        """Raise `FeatureStoreError` if any byte has changed since it was written."""
        self.check_size()
        if file_checksum(self.path) != self.record.sha256:
            raise FeatureStoreError(f"{self.path} is damaged or another file: its checksum differs; restore it")
        for name, content in self._map().items():
            if name.endswith(".offsets"):
                self._check_texts(content, name)

    def forgotten(self) -> Shard:
        """The same shard, not yet mapped."""
        return Shard(self.path.parent, self.record, self._types)

    def prefetch(self, spans: Iterable[tuple[int, int]]) -> None:
        """Ask the system to read the features of rows [first, last) into its cache, without waiting for them."""
        if not hasattr(os, "posix_fadvise"):
            return
        features = self["features"]
        place = int(features.storage_offset()) * features.itemsize
        row = features[0].nbytes
        with self.path.open("rb") as file:
            handle = file.fileno()
            for first, last in spans:
                os.posix_fadvise(handle, place + first * row, (last - first) * row, os.POSIX_FADV_WILLNEED)

    def __getitem__(self, name: str) -> Tensor:
        """The tensor ``name``: a view of the file's pages."""
        if self._mapped is None:
            self._mapped = self._map()
        if name.endswith(".offsets") and name not in self._checked:
            self._check_texts(self._mapped[name], name)
            self._checked.add(name)
        return self._mapped[name]

    def _check_texts(self, ends: Tensor, name: str) -> None:
        """Raise unless the offsets of the texts ascend from the first byte to the last."""
        size = self._sizes[name.removesuffix(".offsets")]
        if int(ends[0]) != 0 or int(ends[-1]) != size or bool((ends.diff() < 0).any()):
            raise FeatureStoreError(f"{self.path} is damaged: the offsets of {name!r} do not fit its texts; restore it")

    def _map(self) -> dict[str, Tensor]:
        self.check_size()
        # a private map: a write into a view changes a copy of the page, never the file; no file stays open
        content = _mapped_bytes(self.path, self.record.bytes)
        length = int.from_bytes(bytes(content[:_LENGTH].tolist()), "little")
        start = _LENGTH + length
        try:
            if length > len(content) - _LENGTH:
                raise ValueError(f"a header of {length} bytes")
            header = parse_json(bytes(content[_LENGTH:start].numpy()))
            spans = self._spans(cast("dict[str, Any]", header), len(content) - start)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise FeatureStoreError(f"{self.path} is not a shard of this store ({error}); restore it") from None
        return {
            name: content[start + first : start + last].view(entry.dtype).view(entry.shape)
            for name, (entry, first, last) in spans.items()
        }

    def _spans(self, header: dict[str, Any], size: int) -> dict[str, tuple[Entry, int, int]]:
        """The place of each tensor; raises unless the header is the one that this library writes for these rows."""
        texts = {
            name: header[f"{name}.bytes"]["shape"][0] for name, kind in self._types.items() if kind.dtype == STRING
        }
        self._sizes = texts
        layout = entries(self._types, self.record.rows, texts)
        wanted, end = _header(layout)
        if header != json.loads(wanted[_LENGTH:]) or end != size:
            raise ValueError("its header has other tensors than the manifest")
        return {name: (entry, *header[name]["data_offsets"]) for name, entry in layout.items()}
