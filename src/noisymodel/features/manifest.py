"""The manifest of a store, the only record of its columns and its committed shards."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import torch

from ..errors import FeatureStoreError, InputFileError
from ..files import check_file, write_file
from ..files.reading import reason, shown

MANIFEST_NAME = "manifest.json"
FORMAT = "noisymodel.features"
VERSION = 1
FEATURE_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
STRING = "string"

_UNSIGNED = b"0" * 64  # the place of the checksum while it is computed


def shard_name(number: int) -> str:
    """The file name of shard ``number`` in the store's folder."""
    return f"shard-{number:06d}.safetensors"


@dataclass(frozen=True)
class ColumnType:
    """The type of a column's rows: tensors of ``shape`` and ``dtype`` (torch's name), or ``"string"``."""

    dtype: str
    shape: tuple[int, ...] = ()


@dataclass(frozen=True)
class ShardRecord:
    """A committed shard: its file name, rows, size and SHA-256."""

    file: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """The content of ``manifest.json``."""

    num_features: int
    dtype: str
    metadata: dict[str, Any]
    created_with: dict[str, str]
    columns: dict[str, ColumnType] = field(default_factory=dict[str, ColumnType])  # without the features
    shards: tuple[ShardRecord, ...] = ()

    @cached_property
    def rows(self) -> int:
        """The number of committed rows."""
        return sum(shard.rows for shard in self.shards)

    def types(self) -> dict[str, ColumnType]:
        """The types of all columns, including the features."""
        return {"features": ColumnType(self.dtype, (self.num_features,)), **self.columns}

    def with_shard(self, columns: dict[str, ColumnType], shard: ShardRecord) -> Manifest:
        """The manifest with one more shard; the first shard fixes the columns."""
        return replace(self, columns=columns, shards=(*self.shards, shard))

    def encode(self) -> bytes:
        """The file's bytes: JSON whose last entry is the SHA-256 of the file with 64 zeros in the checksum's place."""
        record = {"format": FORMAT, "version": VERSION, "rows": self.rows, **asdict(self), "sha256": ""}
        text = json.dumps(record, indent=1, ensure_ascii=True, allow_nan=False).encode()
        head = text.removesuffix(b'"\n}')
        digest = hashlib.sha256(head + _UNSIGNED + b'"\n}\n').hexdigest()
        return head + digest.encode() + b'"\n}\n'

    def write(self, folder: Path) -> bytes:
        """Replace the folder's manifest, and return its bytes."""
        content = self.encode()
        write_file(folder / MANIFEST_NAME, [content])
        return content

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """The folder's manifest.

        Raises:
            FeatureStoreError: the manifest is missing, damaged, of a later version, or of something else.
        """
        path = folder / MANIFEST_NAME
        if not os.path.lexists(path):
            raise FeatureStoreError(
                f"{shown(folder)} is no feature store: it has no {MANIFEST_NAME}; FeatureStore.create makes a store"
            )
        try:
            content = check_file(path).read_bytes()
        except InputFileError as error:
            raise FeatureStoreError(str(error)) from None
        except OSError as error:
            raise FeatureStoreError(f"{shown(path)} cannot be read ({reason(error)})") from None
        return cls.decode(content, path)

    @classmethod
    def decode(cls, content: bytes, path: Path) -> Manifest:
        """Read the manifest from its bytes; ``path`` is for messages."""
        record = _parse(content, path)
        tail = content[-68:]  # 64 digits, a quote, a newline, a brace, a newline
        digest = hashlib.sha256(content[:-68] + _UNSIGNED + tail[64:]).hexdigest()
        if record.get("sha256") != digest:
            raise FeatureStoreError(f"{path} is damaged or was edited: its checksum differs; restore it from a copy")
        try:
            return cls._from_record(record)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise FeatureStoreError(f"{path} is not a manifest of a feature store ({error!r})") from None

    @classmethod
    def _from_record(cls, record: dict[str, Any]) -> Manifest:
        columns = {name: ColumnType(item["dtype"], tuple(item["shape"])) for name, item in record["columns"].items()}
        shards = tuple(ShardRecord(**item) for item in record["shards"])
        names = (record["num_features"], record["dtype"], record["metadata"], record["created_with"])
        manifest = cls(*names, columns, shards)
        if manifest.rows != record["rows"] or manifest.dtype not in FEATURE_DTYPES:
            raise ValueError("rows or dtype do not fit")
        for number, shard in enumerate(shards):
            if shard.file != shard_name(number):
                raise ValueError(f"the shard {number} is called {shard.file!r}")
        sizes = [manifest.num_features, *(size for shard in shards for size in (shard.rows, shard.bytes))]
        sizes += [size for kind in columns.values() for size in kind.shape]
        if not all(type(size) is int and size >= 0 for size in sizes) or not isinstance(manifest.metadata, dict):  # pyright: ignore[reportUnnecessaryIsInstance] - it comes from a file
            raise ValueError("sizes or metadata are none")
        return manifest


def _parse(content: bytes, path: Path) -> dict[str, Any]:
    try:
        record = json.loads(content)
    except (ValueError, RecursionError):
        raise FeatureStoreError(f"{path} is damaged: it is no JSON; restore it from a copy") from None
    if not isinstance(record, dict) or cast("dict[str, Any]", record).get("format") != FORMAT:
        raise FeatureStoreError(f"{path} is not the manifest of a feature store (its format is not {FORMAT!r})")
    record = cast("dict[str, Any]", record)
    version = record.get("version")
    if version != VERSION:
        raise FeatureStoreError(
            f"{path} has version {version} of the format, this library reads version {VERSION}: upgrade noisymodel"
        )
    return record


def checked_metadata(metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    """A copy of ``metadata`` after a round trip through JSON (tuples become lists)."""
    if metadata is None:
        return {}
    if not isinstance(metadata, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] - a caller without types
        raise TypeError(f"`metadata` must be a dictionary, got {type(metadata).__name__}")
    wrong = [name for name in metadata if not isinstance(name, str)]  # pyright: ignore[reportUnnecessaryIsInstance] - as above
    if wrong:
        raise TypeError(f"`metadata` must have strings as keys, got {wrong[0]!r}")
    try:
        return json.loads(json.dumps(dict(metadata), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise TypeError(f"`metadata` must be what JSON can hold: {error}") from None
