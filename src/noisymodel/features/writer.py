"""The writer of a store: rows wait in memory until a shard is full, and are then committed together."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from ..errors import FeatureStoreError
from ..files import Lock, sync_folder
from .columns import check_same_columns, checked_columns, feature_column
from .manifest import MANIFEST_NAME, ColumnType, Manifest
from .shardfile import Values, shard_name, write_shard


class Writer:
    """The one process that appends to the store in ``folder``, which holds the lock."""

    def __init__(self, folder: Path, lock: Lock, manifest: Manifest, shard_rows: int) -> None:
        self.manifest = manifest
        self.pending = 0
        self._folder = folder
        self._lock = lock
        self._shard_rows = shard_rows
        self._waiting: list[dict[str, Values]] = []
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
        table, first = self.manifest, self.manifest.rows + self.pending
        rows = feature_column(features, table.num_features, table.dtype, first, allow_nonfinite)
        given = checked_columns(rows, labels, ids, columns)
        if not len(rows.values):
            return
        kinds = {name: column.kind for name, column in given.items() if name != "features"}
        if self._columns is None:
            self._columns = kinds
        check_same_columns(self._columns, kinds)
        self._waiting.append({name: column.values for name, column in given.items()})
        self.pending += len(rows.values)
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

    def _own_last(self) -> None:
        """Copy the rows that still wait in the caller's memory, because the caller may change it."""
        if self._waiting:
            last = self._waiting[-1].items()
            self._waiting[-1] = {
                name: values.clone() if isinstance(values, Tensor) else values for name, values in last
            }

    def _commit(self, count: int) -> None:
        """Write the first ``count`` waiting rows as a shard, then the manifest that lists it."""
        columns = self._columns or {}
        first, rest = _split(self._waiting, count)
        self._check_unchanged()
        types = {**self.manifest.types(), **columns}
        record = write_shard(self._folder, len(self.manifest.shards), types, first)
        manifest = self.manifest.with_shard(columns, record)
        self._content = manifest.write(self._folder)
        self.manifest = manifest
        self._waiting = rest
        self.pending -= count

    def _check_unchanged(self) -> None:
        path = self._folder / MANIFEST_NAME
        if not path.is_file() or path.read_bytes() != self._content:
            raise FeatureStoreError(f"{path} was changed by another process while this writer had the store open")


def _split(waiting: list[dict[str, Values]], count: int) -> tuple[list[dict[str, Values]], list[dict[str, Values]]]:
    """Split the waiting rows into the first ``count`` and the others."""
    first: list[dict[str, Values]] = []
    rest: list[dict[str, Values]] = []
    for rows in waiting:
        size = len(rows["features"])
        if count > 0:
            first.append({name: values[:count] for name, values in rows.items()})
        if count < size:
            rest.append({name: values[max(0, count) :] for name, values in rows.items()})
        count -= size
    return first, rest
