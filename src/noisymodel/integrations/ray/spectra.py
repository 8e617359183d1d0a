"""Spectra of a Ray Data dataset: workers reduce their rows to O(D²) numbers, which are merged in a fixed order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from safetensors.torch import load, save

from ...spectrum import SpectrumAccumulator
from ...spectrum.accumulator import Method
from .features import in_order, load_ray

if TYPE_CHECKING:
    from ray.data import Dataset


def spectrum(
    dataset: Dataset,
    column: str,
    *,
    method: Method = "tsqr",
    center_rows: bool = False,
    normalize: bool = False,
) -> SpectrumAccumulator:
    """The `SpectrumAccumulator` of a column of feature vectors of a Ray Data dataset, of Parquet or any other source.

    Every block of the dataset becomes one accumulator, on the worker that reads it. Only (D + 1)² numbers per block are
    transferred; they are merged here in the order of the blocks. If a worker dies, its block is repeated, as often as
    needed, and counts once. So on machines of one kind the result is the same to the bit, whatever dies or comes first.
    On all machines SVE and LSVR equal those of one process over all rows to 1e-9 (relative).

    Args:
        dataset: of any size; nothing of it is kept. Its execution options are restored afterwards.
        column: the name of the column with D numbers a row: Arrow lists or tensors, of float16, 32 or 64.
        method: ``"tsqr"`` or ``"gram"``, as in `SpectrumAccumulator`.
        center_rows: subtract each row's own mean over its features.
        normalize: divide each row by its L2 norm, before ``center_rows``.

    Returns:
        The accumulator of all rows: ``.spectrum(center=...)``, ``.merge(other)``, ``.save(path)``.

    Raises:
        MissingExtraError: without Ray.
        TypeError: for a column that is not floating point.
        ValueError: without rows or without such a column, for rows of different lengths or missing ones, and for NaN or
            infinity, with the number of the first such row counted over the whole dataset.

    >>> spectrum(ray.data.read_parquet("features/"), "embedding").spectrum().entropy  # doctest: +SKIP
    4.15
    """
    load_ray("the spectrum of a Ray dataset")
    total: SpectrumAccumulator | None = None
    seen = 0
    settings: dict[str, Any] = {"method": method, "center_rows": center_rows, "normalize": normalize}
    for part in _in_order(dataset, _Partial(column, settings)):
        if part.error:
            raise (TypeError if part.kind == "TypeError" else ValueError)(
                part.error.replace(_ROW, str(seen + part.row))
            )
        seen += part.num_rows
        if not part.num_rows:
            continue
        own = SpectrumAccumulator(part.num_features, **settings)
        own.load_state_dict(load(part.state))
        if total is not None and total.num_features != own.num_features:
            raise ValueError(
                f"`column` {column!r} must hold vectors of one length, got {total.num_features} and, from row "
                f"{seen - part.num_rows} on, {own.num_features}"
            )
        total = own if total is None else total.merge(own)
    if total is None:
        raise ValueError("a spectrum needs rows, got none: the dataset is empty")
    return total


_ROW = "<row>"


class _Part(NamedTuple):
    """The accumulator of one block; or, for a refused block, the ``error`` and its row within the block."""

    num_rows: int = 0
    num_features: int = 0
    state: bytes = b""
    error: str = ""
    kind: str = ""
    row: int = 0


class _Partial:
    """The function that workers call on blocks."""

    def __init__(self, column: str, settings: dict[str, Any]) -> None:
        self.column, self.settings = column, settings

    def __call__(self, block: Any) -> dict[str, npt.NDArray[Any]]:
        try:
            part = self.part(block)
        except (TypeError, ValueError) as error:
            part = _Part(error=str(error), kind=type(error).__name__)
        columns = {name: np.array([value]) for name, value in part._asdict().items() if name != "state"}
        return {**columns, "state": np.array([part.state], dtype=object)}

    def part(self, block: dict[str, npt.NDArray[Any]]) -> _Part:
        """The accumulator of a block's rows."""
        rows = _matrix(block, self.column)
        if not len(rows):
            return _Part()
        good = np.isfinite(rows).all(axis=1)
        if not good.all():
            message = f"`dataset` must be finite: row {_ROW} holds NaN or inf in column {self.column!r}"
            return _Part(error=message, row=int(good.argmin()))
        total = SpectrumAccumulator(rows.shape[1], **self.settings)
        total.update(rows)
        state = {name: tensor.cpu().contiguous() for name, tensor in total.state_dict().items()}
        return _Part(len(rows), rows.shape[1], save(state))


def _matrix(block: dict[str, npt.NDArray[Any]], column: str) -> npt.NDArray[Any]:
    """The rows (N, D) of a block."""
    if column not in block:
        if not any(len(values) for values in block.values()):
            return np.empty((0, 1))
        raise ValueError(f"`column` must be one of {sorted(block)}, got {column!r}")
    values = block[column]
    if values.dtype == object:
        rows = [None if row is None else np.asarray(row) for row in values]
        lengths = {None if row is None else row.shape for row in rows}
        if None in lengths:
            raise ValueError(f"`column` {column!r} must hold a vector in every row, got a missing one")
        if len(lengths) > 1:
            raise ValueError(
                f"`column` {column!r} must hold vectors of one length, got shapes {sorted(map(str, lengths))}"
            )
        values = np.stack([row for row in rows if row is not None]) if rows else np.empty((0, 1))
    if values.dtype.kind != "f":
        raise TypeError(f"`column` {column!r} must be floating point, got {values.dtype}; convert it explicitly")
    if values.ndim < 2:
        raise ValueError(f"`column` {column!r} must hold vectors, got numbers")
    return values.reshape(len(values), -1)


def _in_order(dataset: Dataset, function: _Partial) -> Iterator[_Part]:
    """Apply the function to every block; yield the results in the order of the blocks."""
    parts = dataset.map_batches(
        function, batch_size=None, batch_format="numpy", ray_remote_args_fn=_until_it_works, zero_copy_batch=True
    )
    with in_order(parts):  # the options of `dataset`
        for row in parts.iter_rows():
            yield _Part(**{name: row[name] for name in _Part._fields})


def _until_it_works() -> dict[str, Any]:
    """Ray's options for tasks that may be repeated any number of times."""
    return {"max_retries": -1}
