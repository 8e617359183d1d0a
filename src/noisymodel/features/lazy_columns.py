"""Columns of a store as lazy sequences of rows; rows within one shard are views of the file's pages."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from ..files.spilled import PIECE, joined
from .manifest import ColumnType
from .shardfile import DTYPES, Shard


class ShardedRows:
    """The rows of one column over all shards of a store.

    ``rows[i]``, ``rows[a:b]``, ``rows[indices]`` and ``rows[mask]`` give torch tensors. A slice (with a positive step)
    within one shard is a view of the mapped file; anything else is a copy. ``np.asarray(rows)``, ``rows.tolist()`` and
    the functions of torch (``torch.bincount(rows)``) read all rows, as a view if there is one shard. Numpy lacks
    bfloat16 and gets float32; a large array of several shards is a map of a temporary file. Treat views as read-only:
    a write never reaches the file, but later reads of the same open store see it.
    """

    def __init__(self, shards: Sequence[Shard], name: str, kind: ColumnType) -> None:
        self._shards = shards
        self._name = name
        self._row = kind.shape
        self.dtype = DTYPES[kind.dtype]
        self._edges = edges(shards)

    def __len__(self) -> int:
        return int(self._edges[-1])

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, ...)."""
        return (len(self), *self._row)

    @property
    def ndim(self) -> int:
        """The number of dimensions of `shape`."""
        return 1 + len(self._row)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._name!r}, shape={self.shape}, dtype={self.dtype})"

    def __getitem__(self, index: object, /) -> Tensor:
        if isinstance(index, tuple) and len(index) == 2 and index[1] is Ellipsis:  # as scikit-learn indexes arrays
            index = index[0]
        if isinstance(index, slice):
            return self._slice(index)
        if isinstance(index, (np.ndarray, Tensor, Sequence)) and not is_scalar(index):
            return self._take(as_index(index, len(self)))
        row = row_number(index, len(self))
        shard = int(torch.searchsorted(self._edges, row, right=True)) - 1
        return self._shards[shard][self._name][row - int(self._edges[shard])]

    def __iter__(self) -> Iterator[Tensor]:
        for shard in self._shards:
            yield from shard[self._name]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        if len(self._shards) == 1 and self.dtype != torch.bfloat16:
            array = self[:].numpy()
            return array.copy() if copy else array.astype(dtype or array.dtype, copy=False)
        kind = torch.float32 if self.dtype == torch.bfloat16 else self.dtype
        parts = (part.to(kind).numpy() for shard in self._shards for part in shard[self._name].split(PIECE))
        return joined(parts, self.shape, np.dtype(dtype or torch.empty(0, dtype=kind).numpy().dtype))

    @classmethod
    def __torch_function__(
        cls,
        function: Callable[..., Any],
        _: Any,
        arguments: Sequence[Any] = (),
        options: Mapping[str, Any] | None = None,
    ) -> Any:
        """Give functions of torch all rows, as a tensor."""
        return function(*map(_dense, arguments), **{name: _dense(value) for name, value in (options or {}).items()})

    def tolist(self) -> list[Any]:
        """All rows, as Python numbers."""
        return self[:].tolist()

    def __dlpack__(self, **options: Any) -> Any:
        return self[:].__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[Any, int]:
        return torch.empty(0).__dlpack_device__()

    def _slice(self, span: slice) -> Tensor:
        start, stop, step = span.indices(len(self))
        if step > 0:
            parts = [
                shard[self._name][max(start - low, 0) : stop - low]
                for shard, low, high in self._spans()
                if low < stop and high > start
            ]
            if start < stop and len(parts) == 1:
                return parts[0][::step]
            if start < stop and step == 1:
                return torch.cat(parts)
        return self._take(torch.from_numpy(np.arange(start, stop, step)))

    def _spans(self) -> Iterator[tuple[Shard, int, int]]:
        bounds = cast("list[int]", self._edges.tolist())
        yield from zip(self._shards, bounds, bounds[1:], strict=False)

    def _take(self, index: Tensor) -> Tensor:
        if not self._shards:
            return torch.empty((0, *self._row), dtype=self.dtype)
        return taken(self._shards, self._edges, [self._name], index)[0]


class ShardedStrings:
    """The strings of one column over all shards of a store, decoded on access.

    ``strings[i]`` is a string, ``strings[a:b]``, ``strings[indices]`` and ``strings[mask]`` are lists of strings.
    """

    def __init__(self, shards: Sequence[Shard], name: str) -> None:
        self._shards = shards
        self._name = name
        self._edges = edges(shards)

    def __len__(self) -> int:
        return int(self._edges[-1])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._name!r}, len={len(self)})"

    def __getitem__(self, index: object, /) -> str | list[str]:
        if isinstance(index, slice):
            return [self._text(row) for row in range(*index.indices(len(self)))]
        if isinstance(index, (np.ndarray, Tensor, Sequence)) and not is_scalar(index):
            return [self._text(row) for row in cast("list[int]", as_index(index, len(self)).tolist())]
        return self._text(row_number(index, len(self)))

    def __iter__(self) -> Iterator[str]:
        for shard in self._shards:
            ends = cast("list[int]", shard[f"{self._name}.offsets"].tolist())
            content = bytes(shard[f"{self._name}.bytes"].numpy())
            for first, last in pairwise(ends):
                yield content[first:last].decode()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        return np.array(list(self), dtype=dtype)

    def _text(self, row: int) -> str:
        number = int(torch.searchsorted(self._edges, row, right=True)) - 1
        shard, place = self._shards[number], row - int(self._edges[number])
        first, last = shard[f"{self._name}.offsets"][place : place + 2].tolist()
        return bytes(shard[f"{self._name}.bytes"][first:last].numpy()).decode()


def _dense(value: Any) -> Any:
    """Replace lazy rows by tensors in an argument of a function of torch."""
    if isinstance(value, (list, tuple)):
        return [_dense(item) for item in cast("Sequence[Any]", value)]
    return value[:] if isinstance(value, ShardedRows) else value


def edges(shards: Sequence[Shard]) -> Tensor:
    """The first row of each shard, and the number of all rows."""
    counts = torch.tensor([0, *(shard.record.rows for shard in shards)], dtype=torch.int64)
    return counts.cumsum(0)


def taken(shards: Sequence[Shard], bounds: Tensor, names: Sequence[str], index: Tensor) -> list[Tensor]:
    """Copy the rows of an index from several columns: in ascending order, shard by shard, then in the index's order."""
    first = [shards[0][name] for name in names]
    if len(shards) == 1:
        return [column.index_select(0, index) for column in first]
    ascending, order = index.sort()
    rows = [torch.empty((len(index), *column.shape[1:]), dtype=column.dtype) for column in first]
    firsts, cuts = (cast("list[int]", found.tolist()) for found in (bounds, torch.searchsorted(ascending, bounds)))
    for shard, start, low, high in zip(shards, firsts, cuts, cuts[1:], strict=False):
        if low < high:
            for name, column in zip(names, rows, strict=True):
                torch.index_select(shard[name], 0, ascending[low:high] - start, out=column[low:high])
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order))
    return [column.index_select(0, place) for column in rows]


def is_scalar(index: object) -> bool:
    """Whether an array is a single index (zero-dimensional)."""
    return isinstance(index, (np.ndarray, Tensor)) and cast("Tensor", index).ndim == 0


def row_number(index: object, count: int) -> int:
    """A row in [0, count) from an integer that may count from the end."""
    row = operator.index(cast("int", index))
    if not -count <= row < count:
        raise IndexError(f"row {row} is out of range: there are {count} rows")
    return row + count if row < 0 else row


def as_index(index: object, count: int) -> Tensor:
    """Rows in [0, count), int64, from integers that may count from the end or from a mask."""
    if isinstance(index, tuple):
        raise IndexError("a tuple is no index of rows: rows[indices] gives a tensor, which takes further indices")
    array = index.cpu() if isinstance(index, Tensor) else torch.as_tensor(np.array(index))
    if array.dtype == torch.bool:
        if array.shape != (count,):
            raise IndexError(f"a mask must have one entry per row, {count}, got shape {tuple(array.shape)}")
        return array.nonzero().flatten()
    if array.numel() == 0:
        return torch.empty(0, dtype=torch.int64)
    if array.is_floating_point() or array.ndim != 1:
        raise IndexError(f"rows must be integers of shape (n,), got {array.dtype} of shape {tuple(array.shape)}")
    array = array.long()
    low, high = (int(value) for value in array.aminmax())
    if low < -count or high >= count:
        raise IndexError(f"rows must be in [{-count}, {count}), got rows from {low} to {high}")
    return torch.where(array < 0, array + count, array) if low < 0 else array
