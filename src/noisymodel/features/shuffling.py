"""Batches of rows, in order or shuffled, with only a few megabytes of rows in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

import torch
from torch import Tensor

from .._random import tensor_generator
from .lazy_columns import edges, taken
from .shardfile import Shard

WINDOW_ROWS = 1 << 20
_STREAM = 0x73746F72  # "stor": no other use of the same seed draws these numbers
_BLOCK_ROWS = 256  # contiguous rows, read from the disk at once
_BLOCKS = 1024  # the fewest blocks of a window
_GROUP_BYTES = 6 << 20  # bytes of rows gathered at once: they fit into the processor's cache
_LARGEST_GROUP_BYTES = 64 << 20  # with many shards
_RUN_ROWS = 32  # rows of one shard gathered at once: enough to outweigh the cost of a call


def ordered_batches(shards: Sequence[Shard], names: Sequence[str], batch_size: int) -> Iterator[list[Tensor]]:
    """The rows in order; each shard is mapped only for its batches, which the caller may change."""
    parts: list[list[Tensor]] = []
    count = 0
    for shard in (shard.forgotten() for shard in shards):
        tensors = [shard[name] for name in names]
        start = 0
        while start < shard.record.rows:
            end = min(start + batch_size - count, shard.record.rows)
            parts.append([tensor[start:end] for tensor in tensors])
            count += end - start
            start = end
            if count == batch_size:
                yield _joined(parts)
                parts, count = [], 0
    if parts:
        yield _joined(parts)


def _joined(parts: list[list[Tensor]]) -> list[Tensor]:
    return [column[0] if len(column) == 1 else torch.cat(column) for column in zip(*parts, strict=True)]


def shuffled_rows(count: int, window_rows: int, seed: int) -> Iterator[Tensor]:
    """A permutation of ``range(count)``, window by window.

    The rows form blocks of b contiguous rows. The blocks are permuted and divided into windows of up to
    ``window_rows`` rows; then the rows of each window are permuted. Both permutations are uniform. With one window the
    result is a uniform permutation of all rows.
    """
    generator = tensor_generator(seed, _STREAM)
    if count <= window_rows:
        yield torch.randperm(count, generator=generator)
        return
    block = min(_BLOCK_ROWS, max(1, window_rows // _BLOCKS))
    blocks = -(-count // block)
    windows = -(-blocks // max(1, window_rows // block))
    for chosen in torch.randperm(blocks, generator=generator).tensor_split(windows):
        rows = (chosen[:, None] * block + torch.arange(block)).flatten()
        rows = rows[rows < count]
        yield rows[torch.randperm(len(rows), generator=generator)]


def shuffled_batches(
    shards: Sequence[Shard], names: Sequence[str], batch_size: int, *, window_rows: int, seed: int
) -> Iterator[list[Tensor]]:
    """The rows in the order of `shuffled_rows`, which does not depend on the shards."""
    bounds = edges(shards)
    count = int(bounds[-1])
    several = count > window_rows
    rest = torch.empty(0, dtype=torch.int64)
    for window in _read_ahead(shuffled_rows(count, window_rows, seed), shards, bounds):
        rows = torch.cat([rest, window])
        whole = len(rows) // batch_size * batch_size
        rest = rows[whole:]
        # release the pages of earlier windows, so that only one window is mapped
        mapped = [shard.forgotten() for shard in shards] if several else shards
        yield from _in_order_of(rows[:whole], mapped, bounds, names, batch_size)
    yield from _in_order_of(rest, shards, bounds, names, batch_size)


def _read_ahead(windows: Iterator[Tensor], shards: Sequence[Shard], bounds: Tensor) -> Iterator[Tensor]:
    """Yield the windows; ask the system to read each one while the window before it is in use."""
    before: Tensor | None = None
    for window in windows:
        _prefetch(window.sort().values, shards, bounds)
        if before is not None:
            yield before
        before = window
    if before is not None:
        yield before


def _prefetch(rows: Tensor, shards: Sequence[Shard], bounds: Tensor) -> None:
    owner = torch.searchsorted(bounds, rows, right=True) - 1
    new = torch.cat([torch.ones(1, dtype=torch.bool), (rows.diff() != 1) | (owner.diff() != 0)])
    first = new.nonzero().flatten()
    last = torch.cat([first[1:] - 1, torch.tensor([len(rows) - 1])])
    runs = torch.stack([rows[first], rows[last] + 1], dim=1) - bounds[owner[first]][:, None]
    owners, counts = (found.tolist() for found in owner[first].unique_consecutive(return_counts=True))
    for shard, spans in zip(owners, runs.split(counts), strict=True):
        shards[shard].prefetch(spans.tolist())


def _in_order_of(
    rows: Tensor, shards: Sequence[Shard], bounds: Tensor, names: Sequence[str], batch_size: int
) -> Iterator[list[Tensor]]:
    """Batches of the rows, gathered for several batches at once, as many as fit into the processor's cache."""
    size = batch_size
    if len(shards) > 1:
        per_row = sum(shards[0][name][0].nbytes for name in names)
        wanted = max(_GROUP_BYTES // per_row, min(_RUN_ROWS * len(shards), _LARGEST_GROUP_BYTES // per_row))
        size = max(1, wanted // batch_size) * batch_size
    for group in cast("tuple[Tensor, ...]", rows.split(size)) if len(rows) else ():
        columns = taken(shards, bounds, names, group)
        for start in range(0, len(group), batch_size):
            yield [column[start : start + batch_size] for column in columns]
