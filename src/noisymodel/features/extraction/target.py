"""The store of one layer while it is filled: existing rows are compared, new rows committed every few minutes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...errors import FeatureStoreError
from ..store import FeatureStore
from ..store_folder import holds_store

COMMIT_SECONDS = 120.0
"""The longest time that rows wait for their commit, plus one batch."""

SAME = 1e-3
"""A relative difference of two passes up to this counts as rounding."""

_STORED = {torch.float16: torch.float16, torch.bfloat16: torch.bfloat16}


class Target:
    """A store that is created with its first rows; ``offset`` is the place of its first row in the loader."""

    def __init__(
        self,
        folder: Path,
        metadata: dict[str, Any],
        dtype: Any,
        resume: bool,
        shard_rows: int | None,
        offset: int = 0,
    ) -> None:
        self.folder, self.metadata, self.dtype = folder, metadata, dtype
        self.resume, self.shard_rows, self.offset = resume, shard_rows, offset
        self.store: FeatureStore | None = None
        self.held: FeatureStore | None = None
        self.rows = 0
        self._last_commit, self._committed = time.monotonic(), 0
        if check_folder(folder, resume):
            self.held = FeatureStore.open(folder)
            self.held.check_backbone(metadata)
            self.rows = len(self.held)

    @property
    def end(self) -> int:
        """The place after the last existing row."""
        return self.offset + self.rows

    def part(self, folder: Path, offset: int) -> Target:
        """A store in another folder for the rows from ``offset`` on."""
        return Target(folder, self.metadata, self.dtype, self.resume, self.shard_rows, offset)

    def add(self, rows: Tensor, start: int, labels: Any, ids: Any, *, compare: bool = True) -> None:
        """Append the new rows of a batch; check the labels and ids of existing rows, and ``compare`` the rows too."""
        first, there = self._known(start, len(rows))
        if compare and first < there:
            self._compare(rows[first:there], start + first)
        self.check_columns(start, len(rows), labels, ids)
        if there < len(rows):
            store = self._opened(rows)
            store.append(rows[there:].detach(), _part(labels, there), _part(ids, there))
            self._commit_in_time(store)

    def check_columns(self, start: int, count: int, labels: Any, ids: Any) -> None:
        """Raise if labels or ids of existing rows differ from the loader's."""
        first, there = self._known(start, count)
        if self.held is None or first == there:
            return
        for name, given, column in (("labels", labels, self.held.labels), ("ids", ids, self.held.ids)):
            now = _part(given, first, there)
            before = _part(column, start + first - self.offset, start + there - self.offset)
            if (now is None) != (before is None) or (now is not None and list(now) != list(before)):
                raise FeatureStoreError(
                    f"{name} of rows {start + first} to {start + there - 1} of {self.folder} are not those of the "
                    "loader: a run can go on only with the same data in the same order (no shuffling); or name another "
                    "folder"
                )

    def _known(self, start: int, count: int) -> tuple[int, int]:
        """The places of existing rows among ``count`` rows from ``start`` on."""
        first = max(0, min(count, self.offset - start))
        return first, max(first, min(count, self.offset + self.rows - start))

    def _compare(self, rows: Tensor, start: int) -> None:
        """Raise if existing rows are of other samples."""
        assert self.held is not None  # noqa: S101 # what there is comes from it
        stored = self.held[start - self.offset : start - self.offset + len(rows)].to(rows.device)
        coarse = 0.02 if stored.dtype != torch.float32 else 0.0
        if stored.shape != rows.shape or differ(stored, rows, SAME + coarse):
            raise FeatureStoreError(
                f"rows {start} to {start + len(rows) - 1} of {self.folder} are of other samples than the loader's: "
                "a run can go on only with the same data in the same order (no shuffling); or name another folder"
            )

    def _commit_in_time(self, store: FeatureStore) -> None:
        now = time.monotonic()
        if len(store) == self._committed and now - self._last_commit >= COMMIT_SECONDS:
            store.flush()
        if len(store) != self._committed:
            self._last_commit, self._committed = now, len(store)

    def _opened(self, rows: Tensor) -> FeatureStore:
        if self.store is None:
            self.store = self.open_for_writing(rows.shape[1], _STORED.get(rows.dtype, torch.float32))
            self._committed = len(self.store)
        return self.store

    def open_for_writing(self, num_features: int, computed: Any) -> FeatureStore:
        """Open or create the store for appending; ``computed`` is its default dtype."""
        dtype = self.held.dtype if self.held is not None and self.dtype is None else self.dtype
        return FeatureStore.create(
            self.folder,
            num_features=num_features,
            dtype=dtype if dtype is not None else computed,
            metadata=self.metadata,
            append=True,
            shard_rows=self.shard_rows,
        )

    def check_end(self, count: int) -> None:
        """Raise if the store has more rows than the loader."""
        if count < self.rows:
            raise FeatureStoreError(f"{self.folder} has {self.rows} rows, and the loader only {count}")

    def close(self) -> None:
        """Commit the waiting rows."""
        if self.store is not None:
            self.store.close()


def check_folder(folder: Path, resume: bool) -> bool:
    """Whether a store exists; raise if none may be created, or if an existing one must not be resumed."""
    there = holds_store(folder)
    if there and not resume:
        raise FileExistsError(f"{folder} is there and not empty: `resume=True` goes on with it")
    return there


def _part(values: Any, start: int, end: int | None = None) -> Any:
    """Some labels or ids as an array or a list."""
    if values is None:
        return None
    part = values[start:end]
    return part.cpu().numpy() if isinstance(part, Tensor) else part


def differ(first: Tensor, second: Tensor, tolerance: float = SAME) -> bool:
    """Whether two passes differ by more than rounding."""
    difference = (first.double() - second.double()).norm()
    return bool(difference > tolerance * first.double().norm().clamp_min(torch.finfo(torch.float32).tiny))
