"""Reading of callers' arrays (numpy, torch, lists), without a copy if possible, and return of results in their kind."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from .._checks import Array, check_array, check_integer

Labels: TypeAlias = Array | Sequence[int]
Floats: TypeAlias = npt.NDArray[np.float64]
Mask: TypeAlias = npt.NDArray[np.bool_]

MOST_CLASSES = 1 << 24
"""No class index is this large, and counting so many classes would exhaust the memory of the machine."""

_TOLERANCE = 1e-2  # of the sum of a row of probabilities; wide enough for half precision
_CHUNK = 1 << 20  # numbers hashed or counted at a time


def as_numpy(values: object) -> npt.NDArray[Any]:
    """The values as a numpy array on the CPU; half-precision floats that numpy lacks become float32."""
    if not isinstance(values, torch.Tensor):
        return np.asarray(values)
    values = values.detach().cpu()
    return (values.float() if values.dtype == torch.bfloat16 else values).numpy()


def read_numbers(values: object, name: str, *, kinds: str = "iuf", expected: str = "") -> npt.NDArray[Any]:
    """The values as a numpy array on the CPU, of one of these kinds (see `check_array`)."""
    return as_numpy(check_array(values, name, kinds=kinds, expected=expected))


def read_class_count(num_classes: object, *, minimum: int = 1) -> int:
    """K."""
    return check_integer(num_classes, "num_classes", minimum=minimum, maximum=MOST_CLASSES)


def like(given: object, array: Any) -> Any:
    """Convert a numpy array to the kind (numpy or torch) and device of ``given``; anything else stays as it is."""
    if isinstance(given, torch.Tensor) and isinstance(array, np.ndarray):
        return torch.from_numpy(array).to(given.device)
    return array


def like_floats(given: object, array: npt.NDArray[Any]) -> Array:
    """Like `like`, also in the dtype of the caller's tensor (numpy has no bfloat16)."""
    return torch.from_numpy(array).to(given.device, given.dtype) if isinstance(given, torch.Tensor) else array


def read_labels(labels: object, num_classes: int | None, at_least: int = 0) -> tuple[npt.NDArray[Any], int]:
    """(N,) class indices, and the number of classes: by default the fewest that the labels and ``at_least`` allow."""
    array = read_numbers(labels, "labels", kinds="iu", expected="integers (class indices)")
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"`labels` must be one-dimensional with at least one label, got shape {array.shape}")
    if array.min() < 0:
        first = int(np.argmax(array < 0))
        raise ValueError(f"`labels` must be in [0, num_classes), got {array[first]} at position {first}")
    largest = int(array.max())
    if num_classes is None and max(largest, at_least - 1) <= 0:
        raise ValueError("`labels` hold class 0 alone, which does not tell the number of classes: pass `num_classes`")
    fewest = max(largest + 1, at_least)
    if num_classes is None and fewest > MOST_CLASSES:
        raise ValueError(
            f"`labels` must be class indices below {MOST_CLASSES}, got {largest}: number the classes from 0"
        )
    classes = fewest if num_classes is None else read_class_count(num_classes)
    if largest >= classes:
        first = int(np.argmax(array >= classes))
        raise ValueError(f"`labels` must be in [0, num_classes = {classes}), got {array[first]} at position {first}")
    if classes - 1 > np.iinfo(array.dtype).max:
        raise ValueError(f"`labels` are {array.dtype}, which cannot hold {classes} classes: convert to a wider integer")
    return array, classes


def read_matrix(values: object, name: str, rows: int, *, what: str = "labels") -> Array:
    """Check that an array is two-dimensional with ``rows`` rows of real numbers; its data, maybe huge, stay unread."""
    matrix = check_array(values, name, expected="real numbers")
    if matrix.ndim != 2 or matrix.shape[1] == 0:
        raise ValueError(f"`{name}` must have shape (N, D), got {tuple(matrix.shape)}; x.reshape(len(x), -1) flattens")
    if len(matrix) != rows:
        raise ValueError(f"`{name}` must have one row for each of the {rows} {what}, got {len(matrix)} rows")
    return matrix


def float_rows(matrix: Array, index: slice | npt.NDArray[np.intp]) -> Floats:
    """Rows of a matrix as float64 on the CPU."""
    if isinstance(matrix, torch.Tensor):
        picked = torch.from_numpy(index).to(matrix.device) if isinstance(index, np.ndarray) else index
        return matrix[picked].detach().to("cpu", torch.float64).numpy()
    return np.asarray(matrix[index], dtype=np.float64)


def float_blocks(matrix: Array, rows: int = 8192) -> Iterator[tuple[int, Floats]]:
    """The number of the first row, and the rows as float64, of one block after the other."""
    for start in range(0, len(matrix), rows):
        yield start, float_rows(matrix, slice(start, start + rows))


def check_finite(matrix: Array, name: str) -> None:
    """Refuse NaN and infinity in a matrix of any size."""
    step = max(1, _CHUNK // matrix.shape[1])
    for start in range(0, len(matrix), step):
        rows = matrix[start : start + step]
        finite = torch.isfinite(rows) if isinstance(rows, torch.Tensor) else np.isfinite(rows)
        if not finite.all():
            check_finite_rows(float_rows(matrix, slice(start, start + step)), name, start)


def check_finite_rows(rows: Floats, name: str, first: int) -> None:
    """Refuse NaN and infinity; ``first`` is the number of the first of these rows."""
    finite = np.isfinite(rows)
    if not finite.all():
        bad = int(np.argmin(finite.all(axis=1)))
        value = rows[bad][~finite[bad]][0]
        raise ValueError(f"`{name}` must be finite, got {value} in row {first + bad}")


def check_probabilities(rows: npt.NDArray[Any], name: str, first: int = 0) -> None:
    """Check that rows (n, K) are non-negative and sum to 1; ``first`` is the number of the first of these rows."""
    wrong = ~((rows >= 0).all(axis=1) & (np.abs(rows.sum(axis=1, dtype=np.float64) - 1.0) <= _TOLERANCE))
    if wrong.any():
        bad = int(np.argmax(wrong))
        raise ValueError(
            f"`{name}` must be probabilities, ≥ 0 and summing to 1, got {rows[bad][:5]} in row {first + bad}; "
            "softmax makes them of logits"
        )


def matrix_checksum(matrix: Array) -> str:
    """SHA-256 of the shape and of the numbers as little-endian float64: the same for every dtype and device."""
    digest = hashlib.sha256(np.array(matrix.shape, dtype="<i8").tobytes())
    for _, block in float_blocks(matrix, max(1, _CHUNK // matrix.shape[-1])):
        digest.update(np.ascontiguousarray(block, dtype="<f8").data)
    return digest.hexdigest()


def label_checksum(labels: npt.NDArray[Any]) -> str:
    """SHA-256 of the labels as little-endian int64: the same for every dtype and device."""
    digest = hashlib.sha256()
    flat = labels.reshape(-1)
    for start in range(0, flat.size, _CHUNK):
        digest.update(np.ascontiguousarray(flat[start : start + _CHUNK], dtype="<i8").data)
    return digest.hexdigest()


def class_counts(labels: npt.NDArray[Any], num_classes: int) -> list[int]:
    """How many labels each class has; counted in pieces, to avoid a copy of the labels."""
    counts = np.zeros(num_classes, dtype=np.int64)
    for start in range(0, labels.size, _CHUNK):
        counts += np.bincount(labels[start : start + _CHUNK].astype(np.intp, copy=False), minlength=num_classes)
    return counts.tolist()
