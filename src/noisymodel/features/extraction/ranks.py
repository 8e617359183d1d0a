"""Extraction by several ranks: each rank writes its own blocks, and rank 0 links them into one store in order."""

from __future__ import annotations

import json
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self, cast

import torch
from torch import Tensor, distributed
from torch.utils.data import DataLoader, DistributedSampler, IterableDataset, RandomSampler
from tqdm import tqdm

from ...errors import FeatureStoreError
from ...files import write_file
from ...files.reading import parse_json
from ..store import FeatureStore
from .inputs import Batch, Prepare, raw_size, read_batch
from .passes import Passes
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


class Layer(Protocol):
    """The target of a layer's rows."""

    @property
    def folder(self) -> Path:
        """The store's folder."""
        ...

    def target(self, folder: Path | None = None, offset: int = 0) -> Target:
        """The store, or a store of a part of its rows."""
        ...


Check = Callable[[Callable[[Batch], dict[str, Tensor]], dict[str, Tensor], Batch], None]


def extract_shared(
    share: Share,
    passes: Passes,
    loader: Iterable[Any],
    layers: Mapping[str, Layer],
    prepare: Prepare | None,
    check: Check | None,
    device: torch.device | None,
    progress: bool,
) -> None:
    """Pass over a loader once, by all ranks together."""
    _check_order(loader)
    stores = [_Parts(layer) for layer in layers.values()]
    plan: _Plan | None = None
    if not share.rank:
        plan = _Plan.made(loader, share.world, stores)
    plan = _Plan(*share.told(plan))
    own = _Own(loader, plan, share, stores)
    with passes.ready(device) as forward:
        try:
            for piece in tqdm(own, unit="batch", disable=not progress or share.rank > 0):
                targets = [parts.at(piece, done) for parts, done in zip(stores, plan.done, strict=True)]
                if not piece.start or any(piece.start + piece.size > target.end for target in targets):
                    batch = read_batch(piece.given, prepare)
                    rows = forward(batch)
                    if not piece.start and check is not None:
                        check(forward, rows, batch)
                    for name, target in zip(layers, targets, strict=True):
                        target.add(rows[name], piece.start, batch)
                if piece.last:
                    _finish(share, stores)
        finally:
            for parts in stores:
                parts.close()
    _join(share, stores, own.rows)


def _finish(share: Share, stores: list[_Parts]) -> None:
    """Mark the present block as complete, and link complete blocks into the stores."""
    for parts in stores:
        parts.finish()
        if not share.rank:
            parts.adopt()


def _join(share: Share, stores: list[_Parts], rows: int) -> None:
    """Wait for all ranks; then rank 0 links the remaining blocks into the stores."""
    found = share.all(rows)
    if len(set(found)) > 1:
        raise ValueError(f"`loader` must give every rank the whole data, and the ranks saw {found} rows")
    error = ""
    if not share.rank:
        try:
            if not rows:
                raise ValueError("`loader` has no batches")
            for parts in stores:
                parts.adopt()
                parts.check(rows)
        except (FeatureStoreError, ValueError, OSError) as failed:
            error = str(failed)
    told = share.told(error)
    if told:
        raise (FeatureStoreError if rows else ValueError)(told)


class _Plan(NamedTuple):
    """The distribution of the batches: the size of a block, and the ``done`` rows that each store already has."""

    batches: int
    done: list[int]

    @classmethod
    def made(cls, loader: Iterable[Any], world: int, stores: list[_Parts]) -> Self:
        """Make the plan, or take that of an earlier run, so that its blocks can be used."""
        size = getattr(loader, "batch_size", None) or getattr(getattr(loader, "batch_sampler", None), "batch_size", 0)
        batches = max(1, _BLOCK_ROWS // (size or 128))
        if isinstance(loader, Sized):
            batches = max(1, min(batches, len(loader) // (world * _BLOCKS_PER_RANK)))
        for parts in stores:
            batches = parts.begin(batches, int(size or 0))
        return cls(batches, [parts.rows for parts in stores])


class _Parts:
    """The blocks of one store."""

    def __init__(self, layer: Layer) -> None:
        self.layer, self.folder = layer, layer.folder / PARTS
        self.whole = layer.target()
        self.rows = self.whole.rows
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

    def at(self, piece: _Piece, done: int) -> Target:
        """The target of a batch's rows: its block, or the store itself for the first ``done`` rows."""
        if piece.start + piece.size <= done:
            return self.whole
        start = max(piece.block_start, done)
        if self._open is None or self._open.offset != start:
            self.close()
            self._open = self.layer.target(self._part(start), start)
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
                f"{self.layer.folder} has {self.rows} rows, {more} the {rows} of the loader: run it again on the same "
                "data, or name another folder"
            )
        with suppress(OSError):
            shutil.rmtree(self.folder)

    def _part(self, start: int) -> Path:
        return self.folder / f"rows-{start:012d}"


class _Piece(NamedTuple):
    """A batch of this rank."""

    given: Any
    start: int
    size: int
    block_start: int
    last: bool  # whether it is the last of its block


class _Own:
    """The batches of this rank, block after block; `rows` is the size of the whole data, known at the end."""

    def __init__(self, loader: Iterable[Any], plan: _Plan, share: Share, stores: list[_Parts]) -> None:
        self.loader, self.plan, self.share, self.stores = loader, plan, share, stores
        self.rows = 0

    def __iter__(self) -> Iterator[_Piece]:
        if isinstance(self.loader, DataLoader) and not isinstance(self.loader.dataset, IterableDataset):
            sampler: Any = self.loader.batch_sampler
            if sampler is not None:
                return self._indexed(self.loader, sampler)
        return self._passed_over()

    def _mine(self, number: int) -> bool:
        return number % self.share.world == self.share.rank

    def _passed_over(self) -> Iterator[_Piece]:
        """The batches from any iterable; batches of other ranks are read and skipped."""
        for number, block in enumerate(_blocks(self.loader, self.plan.batches)):
            block_start = self.rows
            for place, given in enumerate(block):
                count = raw_size(given)
                if self._mine(number):
                    yield _Piece(given, self.rows, count, block_start, place == len(block) - 1)
                self.rows += count

    def _indexed(self, loader: DataLoader[Any], sampler: Iterable[list[Any]]) -> Iterator[_Piece]:
        """The batches from a data set with indices; batches of other ranks and of complete blocks are not read."""
        waiting: deque[_Piece] = deque()

        def chosen() -> Iterator[list[Any]]:
            for number, block in enumerate(_blocks(sampler, self.plan.batches)):
                block_start, counts = self.rows, [len(indices) for indices in block]
                self.rows += sum(counts)
                if not self._mine(number):
                    continue
                if self._complete(block_start):
                    block = block[:1] if not block_start else []  # the very first batch is compared
                start = block_start
                for place, indices in enumerate(block):
                    waiting.append(_Piece(None, start, counts[place], block_start, place == len(block) - 1))
                    start += counts[place]
                    yield indices

        for given in _with_batches(loader, chosen()):
            yield waiting.popleft()._replace(given=given)

    def _complete(self, block_start: int) -> bool:
        return all(
            self.rows <= done or parts.finished(max(block_start, done))
            for parts, done in zip(self.stores, self.plan.done, strict=True)
        )


def _blocks(batches: Iterable[Any], size: int) -> Iterator[list[Any]]:
    held: list[Any] = []
    for batch in batches:
        held.append(batch)
        if len(held) == size:
            yield held
            held = []
    if held:
        yield held


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
