"""Extraction by several ranks: each rank writes its own blocks, and rank 0 links them into one store in order."""

from __future__ import annotations

import json
import shutil
from collections import deque
from collections.abc import Iterable, Iterator, Sized
from contextlib import suppress
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Self, cast

from torch import distributed
from torch.utils.data import DataLoader, DistributedSampler, IterableDataset, RandomSampler

from ...errors import FeatureStoreError
from ...files import write_file
from ...files.reading import parse_json
from ..store import FeatureStore
from .inputs import size_of
from .target import Target

PARTS = ".parts"
"""The folder, within the store's folder, of blocks that are not yet part of the store."""

_PLAN = "plan.json"
_BLOCK_ROWS = 8192
_BLOCKS_PER_RANK = 4  # at least, so that no rank waits long for the last block of another
_PATIENCE = timedelta(days=30)  # ranks wait for the slowest one; a dead rank ends the wait at once


class Share(NamedTuple):
    """The rank of this process in the group that shares the work."""

    rank: int
    world: int
    group: Any

    @classmethod
    def current(cls) -> Self | None:
        """The share in the present process group, or None without a group; every rank must call this."""
        if not (distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1):
            return None
        group = distributed.new_group(backend="gloo", timeout=_PATIENCE)
        return cls(distributed.get_rank(), distributed.get_world_size(), group)

    def told(self, value: Any) -> Any:
        """The value of rank 0, on every rank."""
        held = [value]
        distributed.broadcast_object_list(held, src=0, group=self.group)
        return held[0]

    def all(self, value: Any) -> list[Any]:
        """The values of all ranks; waits for every rank."""
        held: list[Any] = [None] * self.world
        distributed.all_gather_object(held, value, group=self.group)
        return held


class Whole:
    """The work of one process: all batches of a loader, into the stores themselves."""

    def __init__(self, loader: Iterable[Any], targets: list[Target]) -> None:
        self.loader, self.targets, self.rows = loader, targets, 0

    def __len__(self) -> int:
        return len(cast("Sized", self.loader))

    def __iter__(self) -> Iterator[tuple[int, Any, list[Target]]]:
        """Each batch, with the place of its first row before it and the targets of its rows behind it."""
        for given in self.loader:
            yield self.rows, given, self.targets
            self.rows += size_of(given)

    def close(self) -> None:
        """Commit the waiting rows."""
        for target in self.targets:
            target.close()

    def finish(self) -> None:
        """Raise if there were no batches, or fewer rows than in a store."""
        if not self.rows:
            raise ValueError("`loader` has no batches")
        for target in self.targets:
            target.check_end(self.rows)


class Shared:
    """The work of one of several ranks: block after block of the batches, each block into a store of its own."""

    def __init__(self, share: Share, loader: Iterable[Any], targets: list[Target]) -> None:
        _check_order(loader)
        self.share, self.loader, self.rows = share, loader, 0
        self.stores = [_Parts(target) for target in targets]
        batches = 0 if share.rank else self._batches_of_a_block()
        self.batches, self.done = share.told((batches, [parts.rows for parts in self.stores]))

    def _batches_of_a_block(self) -> int:
        """The number of batches in a block, or that of an earlier run, so that its blocks can be used."""
        sampler = getattr(self.loader, "batch_sampler", None)
        size = getattr(self.loader, "batch_size", None) or getattr(sampler, "batch_size", 0)
        batches = max(1, _BLOCK_ROWS // (size or 128))
        if isinstance(self.loader, Sized):
            batches = max(1, min(batches, len(self.loader) // (self.share.world * _BLOCKS_PER_RANK)))
        for parts in self.stores:
            batches = parts.begin(batches, int(size or 0))
        return batches

    def __iter__(self) -> Iterator[tuple[int, Any, list[Target]]]:
        """The batches of this rank; see `Whole`."""
        indexed = isinstance(self.loader, DataLoader) and not isinstance(self.loader.dataset, IterableDataset)
        sampler: Any = getattr(self.loader, "batch_sampler", None) if indexed else None
        for piece in self._passed_over() if sampler is None else self._indexed(sampler):
            ends = piece.start + piece.size
            yield (
                piece.start,
                piece.given,
                [parts.at(piece.block, ends, done) for parts, done in zip(self.stores, self.done, strict=True)],
            )
            if piece.last:
                for parts in self.stores:
                    parts.finish()
                    if not self.share.rank:
                        parts.adopt()

    def _mine(self, number: int) -> bool:
        return number % self.share.world == self.share.rank

    def _passed_over(self) -> Iterator[_Piece]:
        """The batches from any iterable; batches of other ranks are read and skipped."""
        for number, block in enumerate(_blocks(self.loader, self.batches)):
            first = self.rows
            for place, given in enumerate(block, start=1):
                count = size_of(given)
                if self._mine(number):
                    yield _Piece(given, self.rows, count, first, place == len(block))
                self.rows += count

    def _indexed(self, sampler: Iterable[list[Any]]) -> Iterator[_Piece]:
        """The batches from a data set with indices; batches of other ranks and of complete blocks are not read."""
        waiting: deque[_Piece] = deque()

        def chosen() -> Iterator[list[Any]]:
            for number, block in enumerate(_blocks(sampler, self.batches)):
                first = start = self.rows
                self.rows += sum(len(indices) for indices in block)
                if not self._mine(number):
                    continue
                if self._complete(first):
                    block = [] if first else block[:1]  # the very first batch is compared
                for place, indices in enumerate(block, start=1):
                    waiting.append(_Piece(None, start, len(indices), first, place == len(block)))
                    start += len(indices)
                    yield indices

        for given in _with_batches(cast("DataLoader[Any]", self.loader), chosen()):
            yield waiting.popleft()._replace(given=given)

    def _complete(self, first: int) -> bool:
        """Whether every store has the rows from ``first`` to the last one seen, in itself or in a complete block."""
        return all(
            self.rows <= done or parts.finished(max(first, done))
            for parts, done in zip(self.stores, self.done, strict=True)
        )

    def close(self) -> None:
        """Commit the waiting rows."""
        for parts in self.stores:
            parts.close()

    def finish(self) -> None:
        """Wait for all ranks; then rank 0 links the remaining blocks into the stores."""
        found = self.share.all(self.rows)
        if len(set(found)) > 1:
            raise ValueError(f"`loader` must give every rank the whole data, and the ranks saw {found} rows")
        if not self.rows:
            raise ValueError("`loader` has no batches")
        error = ""
        if not self.share.rank:
            try:
                for parts in self.stores:
                    parts.adopt()
                    parts.check(self.rows)
            except (FeatureStoreError, ValueError, OSError) as failed:
                error = str(failed)
        if told := self.share.told(error):
            raise FeatureStoreError(told)


class _Piece(NamedTuple):
    """A batch of this rank: its first row, its size, the first row of its block, whether it is the block's last."""

    given: Any
    start: int
    size: int
    block: int
    last: bool


def _blocks(batches: Iterable[Any], size: int) -> Iterator[list[Any]]:
    iterator = iter(batches)
    while block := list(islice(iterator, size)):
        yield block


class _Parts:
    """The blocks of one store."""

    def __init__(self, whole: Target) -> None:
        self.whole, self.folder, self.rows = whole, whole.folder / PARTS, whole.rows
        self._open: Target | None = None

    def begin(self, batches: int, batch_size: int) -> int:
        """Return the number of batches in a block; delete blocks of an earlier run with another division."""
        file = self.folder / _PLAN
        try:
            known = parse_json(file.read_text())
            earlier, size = int(known["batches"]), int(known["batch_size"])
        except (OSError, ValueError, KeyError, TypeError):
            earlier, size = 0, -1
        if earlier < 1 or size != batch_size:
            shutil.rmtree(self.folder, ignore_errors=True)
            earlier = batches
        self.folder.mkdir(parents=True, exist_ok=True)
        write_file(file, json.dumps({"batches": earlier, "batch_size": batch_size}).encode())
        return earlier

    def at(self, block: int, end: int, done: int) -> Target:
        """The target of a batch that ends at ``end``: its block, or the store itself for the first ``done`` rows."""
        if end <= done:
            return self.whole
        start = max(block, done)
        if self._open is None or self._open.offset != start:
            self.close()
            self._open = self.whole.part(self._part(start), start)
        return self._open

    def finished(self, start: int) -> int:
        """The number of rows of the complete block at ``start``; 0 if there is none."""
        try:
            return int(self._part(start).with_suffix(".done").read_text())
        except (OSError, ValueError):
            return 0

    def finish(self) -> None:
        """Mark the present block as complete."""
        if self._open is not None:
            target = self._open
            self.close()
            rows = len(FeatureStore.open(target.folder))
            write_file(target.folder.with_suffix(".done"), str(rows).encode())

    def close(self) -> None:
        """Commit the waiting rows."""
        if self._open is not None:
            self._open.close()
        self._open = None

    def adopt(self) -> None:
        """Link the complete blocks that follow the store's last row into the store."""
        while self.finished(self.rows):
            part = self._part(self.rows)
            block = FeatureStore.open(part)
            with self.whole.open_for_writing(block.num_features, block.dtype) as store:
                store.adopt(block)
                self.rows = len(store)
            part.with_suffix(".done").unlink()
            shutil.rmtree(part, ignore_errors=True)

    def check(self, rows: int) -> None:
        """Raise unless the store has ``rows`` rows; then delete the folder of blocks."""
        if self.rows != rows:
            more = "more than" if self.rows > rows else "and not"
            raise FeatureStoreError(
                f"{self.whole.folder} has {self.rows} rows, {more} the {rows} of the loader: run it again on the same "
                "data, or name another folder"
            )
        with suppress(OSError):
            shutil.rmtree(self.folder)

    def _part(self, start: int) -> Path:
        return self.folder / f"rows-{start:012d}"


def _with_batches(loader: DataLoader[Any], batches: Iterator[list[Any]]) -> DataLoader[Any]:
    """A copy of the loader over other batches of indices."""
    workers: dict[str, Any] = {}
    if loader.num_workers:
        workers = {"prefetch_factor": loader.prefetch_factor, "persistent_workers": loader.persistent_workers}
    return DataLoader(
        loader.dataset,
        batch_sampler=cast("Any", batches),
        num_workers=loader.num_workers,
        collate_fn=loader.collate_fn,
        pin_memory=loader.pin_memory,
        timeout=loader.timeout,
        worker_init_fn=loader.worker_init_fn,
        multiprocessing_context=loader.multiprocessing_context,
        generator=loader.generator,
        **workers,
    )


def _check_order(loader: Iterable[Any]) -> None:
    sampler = getattr(loader, "sampler", None)
    if isinstance(sampler, RandomSampler):
        raise ValueError("`loader` shuffles, and several ranks need one order: give it shuffle=False")
    if isinstance(sampler, DistributedSampler):
        raise ValueError("`loader` must give every rank the whole data: leave its DistributedSampler out")
