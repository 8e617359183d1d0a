"""Rows to append: checked, and converted to CPU tensors of the store's types."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from .manifest import FEATURE_DTYPES, STRING, ColumnType
from .shardfile import DTYPES, Values

RESERVED = ("features", "labels", "ids")
_COLUMN_NAME = re.compile(r"\w[\w -]*")
_PIECE = 1 << 20  # elements checked at a time


class Column(NamedTuple):
    """The rows of one column, with their type."""

    kind: ColumnType
    values: Values


def checked_columns(features: Column, labels: object, ids: object, columns: Mapping[str, object]) -> dict[str, Column]:
    """All columns of some rows by name, with one entry for each row of ``features``."""
    for name in columns:
        if name in RESERVED:
            raise ValueError(f"`columns` must not have {name!r}: it is an argument of its own")
        if not _COLUMN_NAME.fullmatch(name):
            raise ValueError(f"`columns` must have names of letters, digits, '_', '-' and spaces, got {name!r}")
    found = {"features": features}
    count = len(features.values)
    if count == 0:
        return found
    if labels is not None:
        found["labels"] = label_column(labels)
    if ids is not None:
        found["ids"] = id_column(ids)
    found.update((name, any_column(values, name)) for name, values in columns.items())
    for name, column in found.items():
        if len(column.values) != count:
            raise ValueError(f"`{name}` must have one entry per row of `features`, {count}, got {len(column.values)}")
    return found


def feature_column(features: object, num_features: int, dtype: str, first_row: int, allow_nonfinite: bool) -> Column:
    """Features (n, D) in the store's type; ``first_row`` is the first row's number in the store, for messages."""
    rows = _as_tensor(features, "features")
    if not rows.is_floating_point():
        raise TypeError(f"`features` must be floating point, got {rows.dtype}; convert them to float32")
    if rows.ndim != 2 or rows.shape[1] != num_features:
        cure = "; features[None] makes one row of them" if rows.shape == (num_features,) else ""
        raise ValueError(f"`features` must have shape (n, {num_features}), got {tuple(rows.shape)}{cure}")
    stored = rows.to(FEATURE_DTYPES[dtype])
    if not allow_nonfinite:
        _check_finite(stored, rows, first_row)
    return Column(ColumnType(dtype, (num_features,)), stored)


def _check_finite(stored: Tensor, given: Tensor, first_row: int) -> None:
    step = max(1, _PIECE // stored.shape[1])
    for start in range(0, len(stored), step):
        piece = stored[start : start + step]
        low, high = torch.aminmax(piece)  # both are NaN if an element is
        if torch.isfinite(low) and torch.isfinite(high):
            continue
        row = start + int(torch.isfinite(piece).all(dim=1).logical_not().nonzero()[0])
        where = f"row {row} of these (row {first_row + row} of the store)"
        if torch.isfinite(given[row]).all():
            largest = torch.finfo(stored.dtype).max
            raise ValueError(
                f"`features` has a value beyond {largest:g} in {where}, which {stored.dtype} cannot hold: "
                "scale the features, or create the store with another dtype"
            )
        raise ValueError(
            f"`features` has NaN or infinity in {where}: leave such rows out, or pass allow_nonfinite=True"
        )


def label_column(labels: object) -> Column:
    """Class ids (n,) as int64, or class probabilities (n, K) as float32 or float64."""
    labels = _plain(labels)
    if _is_text(labels):
        raise TypeError(
            "`labels` must be integer class ids or class probabilities, got strings; "
            "np.unique(labels, return_inverse=True) gives ids, and `columns` takes the strings"
        )
    values = _as_tensor(labels, "labels")
    if values.is_floating_point():
        if values.ndim != 2 or values.shape[1] == 0:
            raise ValueError(
                f"`labels` of floating type are class probabilities and must have shape (n, K), got "
                f"{tuple(values.shape)}; class ids must be integers"
            )
        values = values if values.dtype == torch.float64 else values.float()
        if not torch.isfinite(values).all():
            row = int(torch.isfinite(values).all(dim=1).logical_not().nonzero()[0])
            raise ValueError(f"`labels` has NaN or infinity in row {row} of these: class probabilities must be finite")
    elif values.dtype == torch.bool or values.ndim != 1:
        raise ValueError(
            f"`labels` must be integer class ids of shape (n,), got {values.dtype} of shape {tuple(values.shape)}"
        )
    else:
        values = _as_int64(values, "labels")
    return Column(_kind(values), values)


def any_column(values: object, name: str) -> Column:
    """Numbers or truth values of any shape (n, ...) in their own type, or strings (n,)."""
    values = _plain(values)
    if _is_text(values):
        return _strings(cast("Sequence[object]", values), name)
    tensor = _as_tensor(values, name)
    if tensor.ndim == 0 or str(tensor.dtype).removeprefix("torch.") not in DTYPES:
        raise TypeError(f"`{name}` must have one number, truth value or string per row, got {_described(tensor)}")
    return Column(_kind(tensor), tensor)


def id_column(ids: object) -> Column:
    """Strings or integers, one for each row."""
    column = any_column(ids, "ids")
    values = column.values
    if not isinstance(values, Tensor):
        return column
    if values.ndim != 1 or values.is_floating_point() or values.dtype == torch.bool:
        raise TypeError(f"`ids` must have one string or integer per row, got {_described(values)}")
    return Column(ColumnType("int64"), _as_int64(values, "ids"))


def _as_int64(values: Tensor, name: str) -> Tensor:
    """Convert integers to int64; integers out of its range raise an error instead of wrapping around."""
    if values.dtype == torch.uint64:
        too_large = (values.view(torch.int64) < 0).nonzero()
        if len(too_large):
            row = int(too_large[0])
            value = int(values.numpy()[row])
            what = "class ids" if name == "labels" else "integers"
            raise ValueError(f"`{name}` must be {what} below 2**63, got {value} in row {row} of these")
    return values.long()


def check_same_columns(known: Mapping[str, ColumnType], given: Mapping[str, ColumnType]) -> None:
    """Raise a ValueError unless the rows have the same columns, of the same types, as earlier rows of the store."""
    for name in [*known, *given]:
        label = f"`{name}`" if name in RESERVED else f"the column {name!r}"
        if name not in given:
            raise ValueError(f"{label} must be given: the rows that the store has already have it")
        if name not in known:
            raise ValueError(f"{label} must not be given: the rows that the store has already are without it")
        old, new = known[name], given[name]
        if old != new:
            raise ValueError(f"{label} must be {_shown(old)} as in the rows that the store has, got {_shown(new)}")


def _shown(kind: ColumnType) -> str:
    return f"{kind.dtype} of shape {('n', *kind.shape)}".replace("'", "").replace(",)", ")")


def _kind(values: Tensor) -> ColumnType:
    return ColumnType(str(values.dtype).removeprefix("torch."), tuple(values.shape[1:]))


def _described(values: Tensor) -> str:
    return f"{values.dtype} of shape {tuple(values.shape)}"


def _is_text(values: object) -> bool:
    if isinstance(values, np.ndarray):
        array = cast("np.ndarray[Any, Any]", values)
        return array.dtype.kind in "UT" or (
            array.dtype.kind == "O" and array.size > 0 and isinstance(array.flat[0], str)
        )
    if isinstance(values, (str, bytes)) or not isinstance(values, Sequence):
        return False
    return isinstance(next(iter(cast("Sequence[object]", values)), None), str)


def _strings(values: Sequence[object], name: str) -> Column:
    encoded: list[bytes] = []
    for row, value in enumerate(values):
        try:
            encoded.append(cast("str", value).encode())
        except AttributeError:
            raise TypeError(f"`{name}` must have one string per row, got {value!r} in row {row} of these") from None
        except UnicodeEncodeError:
            raise TypeError(
                f"`{name}` must have one string per row, got {value!r} in row {row} of these: it holds half of a "
                "surrogate pair, which no file can hold"
            ) from None
    return Column(ColumnType(STRING), np.array(encoded, dtype=object))


def _plain(values: object) -> object:
    """Convert a pandas series, an Arrow array or the like to a numpy array."""
    return values if isinstance(values, Tensor) or not hasattr(values, "__array__") else np.asarray(values)


def _as_tensor(values: object, name: str) -> Tensor:
    """Convert to a dense tensor on the CPU, which shares memory if possible."""
    if isinstance(values, Tensor):
        return values.detach().cpu()
    array: np.ndarray[Any, Any]
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ValueError(f"`{name}` must be an array with one entry per row, got {error}") from None
    if array.dtype.kind not in "fiub":
        raise TypeError(f"`{name}` must be numbers, got {array.dtype}")
    return torch.from_numpy(np.require(array, array.dtype.newbyteorder("="), ["C", "W"]))
