"""The writer of a store: rows wait in memory until a shard is full, and are then committed together."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import FeatureStoreError
from ..files import Lock, sync_folder
from .columns import (
    Column,
    any_column,
    check_column_names,
    check_same_columns,
    feature_column,
    id_column,
    label_column,
)
from .manifest import MANIFEST_NAME, STRING, ColumnType, Manifest, ShardRecord
from .shardfile import entries, shard_name, write_shard


class Rows(NamedTuple):
    """Rows that wait for their commit."""

    size: int
    columns: dict[str, Column]


class Writer:
    """The one process that appends to the store in ``folder``, which holds the lock."""

    def __init__(self, folder: Path, lock: Lock, manifest: Manifest, shard_rows: int) -> None:
        self.manifest = manifest
        self.pending = 0
        self._folder = folder
        self._lock = lock
        self._shard_rows = shard_rows
        self._waiting: list[Rows] = []
        self._columns: dict[str, ColumnType] | None = manifest.columns if manifest.shards else None
        self._content = manifest.encode()

    @property
    def closed(self) -> bool:
        """Whether the writer is closed for appending."""
        return not self._lock.held

    def append(
        self, features: object, labels: object, ids: object, columns: Mapping[str, object], allow_nonfinite: bool
    ) -> None:
        """Check and append rows, and commit all full shards; rows that do not fit change nothing."""
        self._check_open()
        rows = self._checked(features, labels, ids, columns, allow_nonfinite)
        if rows.size == 0:
            return
        if self._columns is None:
            self._columns = {name: column.kind for name, column in rows.columns.items() if name != "features"}
        self._waiting.append(rows)
        self.pending += rows.size
        try:
            while self.pending >= self._shard_rows:
                self._commit(self._shard_rows)
        finally:
            self._own_last()

    def flush(self) -> None:
        """Commit the waiting rows, as a shard that may be smaller than the others."""
        self._check_open()
        while self.pending:
            self._commit(min(self.pending, self._shard_rows))

    def adopt(self, folder: Path, manifest: Manifest) -> None:
        """Commit the shards of another store, in ``folder``, unchanged: its rows follow the rows of this store."""
        self.flush()
        if manifest.types()["features"] != self.manifest.types()["features"]:
            raise FeatureStoreError(
                f"{folder} has other features than {self._folder}: delete it, or name another store"
            )
        if self._columns is not None and self._columns != manifest.columns:
            raise FeatureStoreError(f"{folder} has other columns than {self._folder}: delete it, or name another store")
        for shard in manifest.shards:
            self._check_unchanged()
            file = shard_name(len(self.manifest.shards))
            place = self._folder / file
            place.unlink(missing_ok=True)  # left by a killed writer
            try:
                os.link(folder / shard.file, place)
            except OSError:  # a file system without links
                shutil.copyfile(folder / shard.file, place)
            sync_folder(self._folder)
            grown = self.manifest.with_shard(manifest.columns, replace(shard, file=file))
            self._content = grown.write(self._folder)
            self.manifest = grown
        self._columns = manifest.columns if manifest.shards else self._columns

    def close(self) -> None:
        """Commit the waiting rows and release the lock; a second call does nothing."""
        if self.closed:
            return
        try:
            self.flush()
        finally:
            self._lock.release()

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError(
                f"the store {self._folder} is not open for writing in this process: "
                "FeatureStore.create(..., append=True) opens it"
            )

    def _checked(
        self, features: object, labels: object, ids: object, columns: Mapping[str, object], allow_nonfinite: bool
    ) -> Rows:
        first = self.manifest.rows + self.pending
        table = self.manifest
        rows = feature_column(features, table.num_features, table.dtype, first, allow_nonfinite)
        count = len(rows.values)
        check_column_names(columns)
        if count == 0:
            return Rows(0, {})
        given: dict[str, Column] = {}
        if labels is not None:
            given["labels"] = label_column(labels)
        if ids is not None:
            given["ids"] = id_column(ids)
        given.update((name, any_column(values, name)) for name, values in columns.items())
        for name, column in given.items():
            length = len(column.values if column.lengths is None else column.lengths)
            if length != count:
                raise ValueError(f"`{name}` must have one entry per row of `features`, {count}, got {length}")
        if self._columns is not None:
            check_same_columns(self._columns, given)
        return Rows(count, {"features": rows, **given})

    def _own_last(self) -> None:
        """Copy the rows that still wait in the caller's memory, because the caller may change it."""
        if not self._waiting:
            return
        size, columns = self._waiting[-1]
        owned = {name: Column(column.kind, column.values.clone(), column.lengths) for name, column in columns.items()}
        self._waiting[-1] = Rows(size, owned)

    def _commit(self, count: int) -> None:
        """Write the first ``count`` waiting rows as a shard, then the manifest that lists it."""
        shard, rest = _split(self._waiting, count)
        columns = self._columns or {}
        self._check_unchanged()
        record = self._write(shard, count, len(self.manifest.shards))
        manifest = self.manifest.with_shard(columns, record)
        self._content = manifest.write(self._folder)
        self.manifest = manifest
        self._waiting = rest
        self.pending -= count

    def _check_unchanged(self) -> None:
        path = self._folder / MANIFEST_NAME
        if not path.is_file() or path.read_bytes() != self._content:
            raise FeatureStoreError(f"{path} was changed by another process while this writer had the store open")

    def _write(self, rows: list[Rows], count: int, number: int) -> ShardRecord:
        types = {**self.manifest.types(), **(self._columns or {})}
        texts = {
            name: sum(part.columns[name].values.numel() for part in rows)
            for name, kind in types.items()
            if kind.dtype == STRING
        }
        pieces: dict[str, list[Tensor]] = {}
        for name, kind in types.items():
            values = [part.columns[name].values for part in rows]
            if kind.dtype == STRING:
                lengths = [part.columns[name].lengths for part in rows]
                ends = torch.cat([item for item in lengths if item is not None]).cumsum(0)
                pieces[f"{name}.offsets"] = [torch.zeros(1, dtype=torch.int64, device="cpu"), ends]
                pieces[f"{name}.bytes"] = values
            else:
                pieces[name] = values
        return write_shard(self._folder, number, count, entries(types, count, texts), pieces)


def _split(waiting: list[Rows], count: int) -> tuple[list[Rows], list[Rows]]:
    """Split the waiting rows into the first ``count`` and the others."""
    first: list[Rows] = []
    for position, rows in enumerate(waiting):
        if rows.size > count:
            first.append(_cut(rows, 0, count))
            return [part for part in first if part.size], [_cut(rows, count, rows.size), *waiting[position + 1 :]]
        first.append(rows)
        count -= rows.size
    return first, []


def _cut(rows: Rows, start: int, end: int) -> Rows:
    columns: dict[str, Column] = {}
    for name, (kind, values, lengths) in rows.columns.items():
        if lengths is None:
            columns[name] = Column(kind, values[start:end])
        else:
            begin, middle = int(lengths[:start].sum()), int(lengths[start:end].sum())
            columns[name] = Column(kind, values[begin : begin + middle], lengths[start:end])
    return Rows(end - start, columns)
