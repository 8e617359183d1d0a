"""Rows of features with their targets: checked once, then read batch by batch, never all at once."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Generator, Iterable
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor

from .._checks import check_rows, check_sequence, check_unmasked
from ..features import FeatureStore
from ..features.lazy_columns import ShardedRows
from ..objective import IGNORED
from .feeding import Batch, Carrier, feed
from .targets import check_dense, checked_targets


class RowSource(Protocol):
    """Anything with rows: ``len(source)``, and ``source[integer_array]``, an array or a tensor of shape (n, D)."""

    def __len__(self) -> int:
        """The number of rows."""
        ...

    def __getitem__(self, index: Any, /) -> Any:
        """The rows of an ascending integer array."""
        ...


class _Chosen:
    """Some rows of a source."""

    def __init__(self, source: RowSource, index: np.ndarray[Any, Any]) -> None:
        self.source, self.index = source, index

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, index: Any) -> Any:
        return self.source[self.index[index]]


@dataclass(frozen=True)
class LabelledRows:
    """Features (N, D) and targets (N,) or (N, K); its batches are on ``device`` in ``dtype``."""

    features: Tensor | RowSource
    targets: Tensor  # on the device of the features, or on the CPU
    device: torch.device
    dtype: torch.dtype
    weights: Tensor | None = None  # (N,) with the mean 1, on the device of the targets; None: all are 1
    threaded: bool = False  # whether a thread reads ahead: from files, and from memory of another device

    def __len__(self) -> int:
        """N."""
        return len(self.targets)

    def subset(self, index: Tensor) -> LabelledRows:
        """The rows of an index on the CPU, in its order; their weights are scaled to the mean 1."""
        there = index.to(self.targets.device)
        features = self.features
        chosen = features.index_select(0, there) if isinstance(features, Tensor) else _Chosen(features, index.numpy())
        weights = None if self.weights is None else self.weights[there]
        return replace(
            self,
            features=chosen,
            targets=self.targets[there],
            weights=None if weights is None else weights / weights.mean(),
        )

    def take(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """The rows (n, D) and targets of an ascending index, which is on the device of the targets."""
        batch = self.read(index)
        return batch.features.to(self.device, self.dtype), batch.targets.to(self.device)

    def read(self, index: Tensor, pinned: bool = False) -> Batch:
        """Read a batch without changing its device or dtype; ``pinned`` puts it into page-locked memory."""
        if isinstance(self.features, Tensor):
            features = _selected(self.features, index, pinned)
        else:
            rows = _as_tensor(self.features[index.numpy()])
            features = rows.pin_memory() if pinned else rows
        weights = None if self.weights is None else _selected(self.weights, index, pinned)
        return Batch(features, _selected(self.targets, index, pinned), weights)

    def batches(self, indices: Iterable[Tensor]) -> Generator[Batch]:
        """Yield the batches of the indices on ``device`` in ``dtype``; the next batches are read ahead.

        Close the generator to end early.
        """
        home = self.targets.device
        if home.type != "cpu":
            indices = (index.to(home) for index in indices)
        if self.targets.device == self.device and not self.threaded:
            for index in indices:
                batch = self.read(index)
                yield batch._replace(features=batch.features.to(self.device, self.dtype))
        else:
            yield from feed(Carrier(self.read, self.device, self.dtype), indices, threaded=self.threaded)

    @property
    def num_labelled(self) -> int:
        """The number of rows whose targets are not `IGNORED`."""
        return len(self) if self.targets.is_floating_point() else int((self.targets != IGNORED).sum())

    def in_order(self, batch_size: int = 1024) -> Generator[Batch]:
        """All batches in the order of the rows."""
        return self.batches(torch.arange(len(self), device=self.targets.device).split(batch_size))

    def checksum(self) -> str:
        """A checksum of all targets and of up to 64 rows spread over the features."""
        spread = torch.linspace(0, len(self) - 1, min(len(self), 64), dtype=torch.float64, device="cpu").long()
        features, _ = self.take(spread.to(self.targets.device))
        digest = hashlib.sha256(str((len(self), features.shape[1], self.targets.dtype)).encode())
        contents = [self.targets, features.to(torch.float32), *([] if self.weights is None else [self.weights])]
        for content in contents:
            digest.update(content.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()


def _selected(values: Tensor, index: Tensor, pinned: bool) -> Tensor:
    """Rows of a tensor; ``pinned`` copies them into page-locked memory if they are on the CPU."""
    if not pinned or values.device.type != "cpu":
        return values.index_select(0, index)
    into = torch.empty((len(index), *values.shape[1:]), dtype=values.dtype, device="cpu", pin_memory=True)
    return torch.index_select(values, 0, index, out=into)


def shuffled(count: int, batch_size: int, smallest: int, generator: torch.Generator) -> list[Tensor]:
    """The batches of one epoch over ``count`` rows: a permutation is cut into batches, and each batch is sorted.

    If the last batch is smaller than ``smallest``, it is joined to the one before it.
    """
    whole = _whole_batches(count, batch_size, smallest)
    order = torch.randperm(count, generator=generator, device="cpu")
    batches = order[: whole * batch_size].view(whole, batch_size).sort(dim=1).values
    rest = order[whole * batch_size :].sort().values
    return [*batches.unbind(0), *([rest] if len(rest) else [])]


def count_batches(count: int, batch_size: int, smallest: int) -> int:
    """The number of batches that `shuffled` returns."""
    whole = _whole_batches(count, batch_size, smallest)
    return whole + (count > whole * batch_size)


def _whole_batches(count: int, batch_size: int, smallest: int) -> int:
    """The number of batches of exactly ``batch_size`` rows; the remaining rows form one more."""
    whole, rest = divmod(count, batch_size)
    return whole - 1 if whole and 0 < rest < smallest else whole


def labelled_rows(
    features: object,
    targets: object,
    *,
    num_features: int,
    num_classes: int,
    device: torch.device,
    dtype: torch.dtype,
    prefix: str = "",
    sample_weight: object = None,
) -> LabelledRows:
    """Check shapes, types and class ids; a tensor moves to ``device`` whole, other features batch by batch."""
    source = _source(features, f"{prefix}features", num_features)
    if isinstance(features, Tensor):
        source = features.detach().to(device)
    labels = checked_targets(targets, f"{prefix}targets", num_classes)
    if len(labels) != len(source):
        raise ValueError(f"`{prefix}targets` must have one entry per row, {len(source)}, got {len(labels)}")
    if len(labels) == 0:
        raise ValueError(f"`{prefix}features` must have rows, got none")
    home = source.device if isinstance(source, Tensor) else torch.device("cpu")
    weights = None if sample_weight is None else _weights(sample_weight, len(labels)).to(home)
    elsewhere = isinstance(features, np.ndarray) and device.type == "cuda"
    threaded = elsewhere or isinstance(features, (np.memmap, FeatureStore, ShardedRows))
    rows = LabelledRows(source, labels.to(home), device, dtype, weights, threaded=threaded)
    if rows.num_labelled == 0:
        raise ValueError(f"`{prefix}targets` must have class ids, got {IGNORED} alone, which is no class")
    return rows


def held_out_rows(
    validation: object, *, num_features: int, num_classes: int, device: torch.device, dtype: torch.dtype
) -> LabelledRows:
    """Check a pair (features, targets) for validation, as `labelled_rows` does."""
    if not isinstance(validation, (tuple, list)) or len(validation) != 2:
        raise TypeError(f"`validation` must be a pair (features, targets), got {type(validation).__name__}")
    return labelled_rows(
        *validation,
        num_features=num_features,
        num_classes=num_classes,
        device=device,
        dtype=dtype,
        prefix="validation ",
    )


def _weights(sample_weight: object, count: int) -> Tensor:
    """Check the weights (N,) of the rows; return float32 with the mean 1."""
    if isinstance(sample_weight, Tensor):
        check_dense(sample_weight, "sample_weight")
    try:
        weights = torch.as_tensor(sample_weight, dtype=torch.float64, device="cpu").detach()
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise TypeError(
            f"`sample_weight` must be numbers, one for each row, got {sample_weight!r:.80} ({error})"
        ) from None
    if weights.shape != (count,):
        raise ValueError(f"`sample_weight` must have shape ({count},), got {tuple(weights.shape)}")
    if not bool(torch.isfinite(weights).all()) or bool((weights < 0).any()) or not bool((weights > 0).any()):
        raise ValueError("`sample_weight` must be finite, not negative, and not all zero")
    return (weights / weights.mean()).float()


def _source(features: object, name: str, num_features: int) -> Tensor | RowSource:
    if isinstance(features, Tensor):
        check_dense(features, name)
    check_unmasked(features, name)
    if isinstance(features, np.ndarray) and _is_like_a_tensor(features):
        with warnings.catch_warnings():  # torch warns about read-only arrays; nothing here writes to them
            warnings.simplefilter("ignore", UserWarning)
            features = torch.from_numpy(features)
    indexable = hasattr(features, "__len__") and hasattr(features, "__getitem__")
    if not indexable or isinstance(features, (list, tuple)):
        raise TypeError(
            f"`{name}` must be a tensor, an array or an object with len() and integer-array indexing, "
            f"got {type(features).__name__}"
        )
    check_sequence(features, name, "rows")
    source = cast("Tensor | RowSource", features)
    if len(source) == 0:
        raise ValueError(f"`{name}` must have rows, got none")
    first = source[:1] if isinstance(source, Tensor) else _as_tensor(source[np.zeros(1, dtype=np.int64)], name)
    check_rows(first, name, num_features=num_features)
    if first.ndim != 2:
        raise ValueError(f"`{name}` must have shape (N, {num_features}), got rows of shape {tuple(first.shape[1:])}")
    return source


def _is_like_a_tensor(array: np.ndarray[Any, Any]) -> bool:
    """Whether torch can share the memory of an array without a copy, and index it faster than numpy."""
    native = array.dtype.kind == "f" and array.dtype.isnative and array.dtype.itemsize <= 8
    return native and min(array.strides, default=0) >= 0


def _as_tensor(rows: object, name: str = "features") -> Tensor:
    """Convert rows of a source to a tensor of native byte order."""
    if isinstance(rows, Tensor):
        return rows
    array = np.asarray(rows)
    if array.dtype.kind != "f":
        raise TypeError(f"`{name}` must be floating point, got {array.dtype}; .astype(np.float32) converts")
    return torch.from_numpy(np.require(array, array.dtype.newbyteorder("="), ["C", "W"]))
