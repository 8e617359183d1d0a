"""The store of one layer while it is filled: existing rows are compared, new rows committed every few minutes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from ...errors import FeatureStoreError
from ..store import FeatureStore
from ..store_folder import holds_store
from .inputs import Batch

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
        self.folder, self.metadata, self.dtype, self.shard_rows = folder, metadata, dtype, shard_rows
        self.offset = offset
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

    def add(self, rows: Tensor, start: int, batch: Batch) -> None:
        """Append the new rows of a batch; compare the others with the existing rows."""
        labels, ids = plain(batch.labels), plain(batch.ids)
        before = max(0, min(len(rows), self.offset - start))
        there = max(before, min(len(rows), self.end - start))
        if there > before:
            self.compare(rows[before:there], start + before)
            self.compare_columns(start + before, there - before, _part(labels, before), _part(ids, before))
        if there == len(rows):
            return
        self.append(rows[there:], _part(labels, there), _part(ids, there))

    def append(self, rows: Tensor, labels: Any, ids: Any) -> None:
        """Append rows, and commit if it is time."""
        store = self._create(rows) if self.store is None else self.store
        store.append(rows.detach(), labels, ids)
        self._commit_in_time(store)

    def _commit_in_time(self, store: FeatureStore) -> None:
        now = time.monotonic()
        if len(store) == self._committed and now - self._last_commit >= COMMIT_SECONDS:
            store.flush()
        if len(store) != self._committed:
            self._last_commit, self._committed = now, len(store)

    def _create(self, rows: Tensor) -> FeatureStore:
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

    def compare(self, rows: Tensor, start: int) -> None:
        """Raise if existing rows are of other samples."""
        assert self.held is not None  # noqa: S101 # what there is comes from it
        stored = self.held[start - self.offset : start - self.offset + len(rows)].to(rows.device)
        coarse = 0.02 if stored.dtype != torch.float32 else 0.0
        if stored.shape != rows.shape or differ(stored, rows, SAME + coarse):
            raise FeatureStoreError(
                f"rows {start} to {start + len(rows) - 1} of {self.folder} are of other samples than the loader's: "
                "a run can go on only with the same data in the same order (no shuffling); or name another folder"
            )

    def compare_columns(self, start: int, count: int, labels: Any, ids: Any) -> None:
        """Raise if labels or ids of existing rows differ from the loader's."""
        assert self.held is not None  # noqa: S101 # what there is comes from it
        first = start - self.offset
        for name, given, column in (("labels", labels, self.held.labels), ("ids", ids, self.held.ids)):
            if given is None and column is None:
                continue
            wanted = None if column is None else plain(column[first : first + count])
            if given is None or wanted is None or list(given[:count]) != list(wanted):
                raise FeatureStoreError(
                    f"{name} of rows {start} to {start + count - 1} of {self.folder} are not those of the loader: "
                    "a run can go on only with the same data in the same order (no shuffling); or name another folder"
                )

    def check_known(self, start: int, count: int, batch: Batch) -> None:
        """Compare the columns of a batch that is not computed again."""
        before = max(0, self.offset - start)
        if before < count and self.held is not None:
            labels, ids = _part(plain(batch.labels), before), _part(plain(batch.ids), before)
            self.compare_columns(start + before, count - before, labels, ids)

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


def plain(values: Any) -> Any:
    """Convert labels or ids to an array or a list."""
    if isinstance(values, Tensor):
        return values.cpu().numpy()
    return values if values is None or isinstance(values, np.ndarray) else list(cast("Sequence[Any]", values))


def _part(values: Any, start: int) -> Any:
    return None if values is None else values[start:]


def differ(first: Tensor, second: Tensor, tolerance: float = SAME) -> bool:
    """Whether two passes differ by more than rounding."""
    difference = (first.double() - second.double()).norm()
    return bool(difference > tolerance * first.double().norm().clamp_min(torch.finfo(torch.float32).tiny))
