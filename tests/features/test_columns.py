"""Rows that do not fit are refused with one clear error, and change nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from noisymodel.features import FeatureStore

NAN, INF = float("nan"), float("inf")


def with_value(value: float, row: int = 3, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    rows = torch.ones(5, 2, dtype=dtype)
    rows[row, 1] = value
    return rows


@pytest.mark.parametrize(
    ("features", "error", "message"),
    [
        (with_value(NAN), ValueError, r"`features` has NaN or infinity in row 3 of these \(row 5 of the store\)"),
        (with_value(INF, 0), ValueError, r"NaN or infinity in row 0 .* allow_nonfinite=True"),
        (with_value(-INF, 4), ValueError, "NaN or infinity in row 4"),
        (with_value(1e39, 2, torch.float64), ValueError, r"a value beyond 3.40282e\+38 in row 2 of these"),
        (torch.ones(2, 3), ValueError, r"`features` must have shape \(n, 2\), got \(2, 3\)"),
        (torch.ones(2), ValueError, r"must have shape \(n, 2\), got \(2,\); features\[None\] makes one row"),
        (torch.ones(3), ValueError, r"must have shape \(n, 2\), got \(3,\)$"),
        (torch.ones(1, 1, 2), ValueError, r"must have shape \(n, 2\), got \(1, 1, 2\)"),
        (torch.ones(5, 2, dtype=torch.int64), TypeError, "`features` must be floating point, got torch.int64"),
        (np.ones((5, 2), dtype=complex), TypeError, "`features` must be numbers, got complex128"),
        ([["a", "b"]], TypeError, "`features` must be numbers, got <U1"),
        ([[1.0, 2.0], [3.0]], ValueError, "`features` must be an array with one entry per row"),
        (torch.ones(0, 3), ValueError, r"must have shape \(n, 2\), got \(0, 3\)"),
    ],
)
def test_features_that_do_not_fit(tmp_path: Path, features: object, error: type[Exception], message: str) -> None:
    with FeatureStore.create(tmp_path / "s", num_features=2) as store:
        store.append(torch.ones(2, 2))
        with pytest.raises(error, match=message):
            store.append(features)
        assert store.pending == 2
    assert len(store) == 2


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("row", [0, 1999])
def test_nonfinite_features_are_found_anywhere_and_can_be_allowed(tmp_path: Path, dtype: str, row: int) -> None:
    rows = torch.ones(2000, 700)
    rows[row, 699] = NAN
    with FeatureStore.create(tmp_path / "s", num_features=700, dtype=dtype) as store:
        with pytest.raises(ValueError, match=f"NaN or infinity in row {row} of these"):
            store.append(rows)
        store.append(rows[row : row + 1], allow_nonfinite=True)
    assert store.features[0].isnan().tolist() == [False] * 699 + [True]


def test_what_float16_cannot_hold_is_named(tmp_path: Path) -> None:
    with FeatureStore.create(tmp_path / "s", num_features=2, dtype="float16") as store:
        with pytest.raises(ValueError, match=r"beyond 65504 in row 3 of these .*torch.float16 cannot hold: scale"):
            store.append(with_value(1e5))
        store.append(with_value(65504))


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        ([0.0, 1.0], ValueError, r"`labels` of floating type are class probabilities and must have shape \(n, K\)"),
        (torch.zeros(2, 0), ValueError, r"must have shape \(n, K\), got \(2, 0\)"),
        ([0, 1, 2], ValueError, "`labels` must have one entry per row of `features`, 2, got 3"),
        ([True, False], ValueError, "must be integer class ids of shape .*, got torch.bool"),
        (
            torch.zeros(2, 2, dtype=torch.int64),
            ValueError,
            r"must be integer class ids of shape \(n,\), got torch.int64",
        ),
        (["a", "b"], TypeError, r"`labels` must be integer .* got strings; np.unique\(labels, return_inverse=True\)"),
        (np.array(["a", "b"], dtype=object), TypeError, "got strings"),
        ([[0.5, NAN], [0.5, 0.5]], ValueError, "`labels` has NaN or infinity in row 0 of these"),
        (np.array([1, 2**63], dtype=np.uint64), ValueError, r"`labels` must be class ids below 2\*\*63"),
        (np.array([1, None]), TypeError, "`labels` must be numbers, got object"),
    ],
)
def test_labels_that_do_not_fit(tmp_path: Path, labels: object, error: type[Exception], message: str) -> None:
    with FeatureStore.create(tmp_path / "s", num_features=2) as store, pytest.raises(error, match=message):
        store.append(torch.ones(2, 2), labels)
    assert len(store) == 0


@pytest.mark.parametrize("shard_rows", [1, 100])
@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ({"labels": [0]}, {}, "`labels` must be given: the rows that the store has already have it"),
        ({}, {"labels": [0]}, "`labels` must not be given: the rows that the store has already are without it"),
        ({"labels": [0]}, {"labels": [[0.5, 0.5]]}, r"`labels` must be int64 .*\(n\) .* got float64 .*\(n, 2\)"),
        ({"labels": [[0.5, 0.5]]}, {"labels": [0]}, "`labels` must be float64 of shape"),
        ({"labels": torch.ones(1, 2)}, {"labels": torch.ones(1, 3)}, r"must be .*\(n, 2\) .* got .*\(n, 3\)"),
        ({"labels": torch.ones(1, 2)}, {"labels": torch.ones(1, 2).double()}, "must be float32 .* got float64"),
        ({"ids": ["a"]}, {"ids": [1]}, r"`ids` must be string of shape \(n\) .* got int64"),
        ({"ids": ["a"]}, {}, "`ids` must be given"),
        ({"columns": {"a": [1]}}, {"columns": {"b": [1]}}, "the column 'a' must be given"),
        ({}, {"columns": {"b": [1]}}, "the column 'b' must not be given"),
        ({"columns": {"a": np.int8([1])}}, {"columns": {"a": [1]}}, "the column 'a' must be int8 .* got int64"),
    ],
)  # fmt: skip
def test_columns_must_not_change(tmp_path: Path, shard_rows: int, first: Any, second: Any, message: str) -> None:
    for reopen in (False, True):
        path = tmp_path / f"s{reopen}"
        store = FeatureStore.create(path, num_features=2, shard_rows=shard_rows)
        store.append(torch.ones(1, 2), **first)
        if reopen:
            store.close()
            store = FeatureStore.create(path, num_features=2, append=True)
        with store, pytest.raises(ValueError, match=message):
            store.append(torch.ones(1, 2), **second)
        assert len(store) == 1


def test_half_precision_labels_and_integers_of_any_size_are_alike(tmp_path: Path) -> None:
    with FeatureStore.create(tmp_path / "p", num_features=1) as soft:
        soft.append(torch.ones(1, 1), torch.ones(1, 2).half())
        soft.append(torch.ones(1, 1), torch.ones(1, 2))
    assert soft.labels is not None
    assert soft.labels.dtype == torch.float32
    with FeatureStore.create(tmp_path / "i", num_features=1) as hard:
        hard.append(torch.ones(1, 1), np.uint8([200]), np.int32([7]))
        hard.append(torch.ones(1, 1), torch.tensor([-1]), [8])
    assert hard.labels is not None
    assert hard.labels[:].tolist() == [200, -1]
    assert hard.ids is not None
    assert np.asarray(hard.ids).tolist() == [7, 8]


@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        (["a", 1], TypeError, "`ids` must have one string per row, got 1 in row 1 of these"),
        (["a", "\ud800"], TypeError, "`ids` must have one string per row, got .* in row 1"),
        (["a"], ValueError, "`ids` must have one entry per row of `features`, 2, got 1"),
        ("ab", TypeError, "`ids` must be a sequence of one entry"),
        ([0.5, 1.5], TypeError, "`ids` must have one string or integer per row, got torch.float64"),
        ([True, False], TypeError, "`ids` must have one string or integer per row, got torch.bool"),
        ([[1], [2]], TypeError, "`ids` must have one string or integer per row, got torch.int64 of shape"),
    ],
)
def test_ids_that_do_not_fit(tmp_path: Path, ids: object, error: type[Exception], message: str) -> None:
    with FeatureStore.create(tmp_path / "s", num_features=2) as store, pytest.raises(error, match=message):
        store.append(torch.ones(2, 2), ids=ids)


@pytest.mark.parametrize(
    ("columns", "error", "message"),
    [
        ({"labels": [1, 2]}, ValueError, "`columns` must not have 'labels': it is an argument of its own"),
        ({"a.b": [1, 2]}, ValueError, "names of letters, digits, '_', '-' and spaces, got 'a.b'"),
        ({"": [1, 2]}, ValueError, "names of letters"),
        ({"a": [1]}, ValueError, "`a` must have one entry per row of `features`, 2, got 1"),
        ({"a": torch.tensor(1)}, TypeError, "`a` must have one number, truth value or string per row"),
        ({"a": torch.ones(2, dtype=torch.complex64)}, TypeError, "`a` must have one number, .* got torch.complex64"),
    ],
)
def test_columns_that_do_not_fit(tmp_path: Path, columns: Any, error: type[Exception], message: str) -> None:
    with FeatureStore.create(tmp_path / "s", num_features=2) as store, pytest.raises(error, match=message):
        store.append(torch.ones(2, 2), columns=columns)


COLUMNS = {
    "float64": np.array([[1.5], [NAN]]),
    "uint64": np.array([2**64 - 1, 0], dtype=np.uint64),
    "int8": np.array([[-1, 2], [3, 4]], dtype=np.int8),
    "bool": np.array([True, False]),
    "bfloat16": torch.tensor([1.0, 2.0], dtype=torch.bfloat16),
    "cube": np.arange(24, dtype=np.uint16).reshape(2, 3, 4),
}


def test_columns_keep_type_and_shape(tmp_path: Path) -> None:
    with FeatureStore.create(tmp_path / "s", num_features=1, shard_rows=1) as store:
        store.append(torch.ones(2, 1), columns=COLUMNS)
    store = FeatureStore.open(tmp_path / "s")
    store.verify()
    for name, values in COLUMNS.items():
        wanted = torch.as_tensor(values)
        found = store.column(name)[:]
        assert isinstance(found, torch.Tensor)
        assert found.dtype == wanted.dtype
        assert torch.equal(found.view(torch.uint8), wanted.view(torch.uint8)), name


@pytest.mark.parametrize("kind", [list, tuple, np.array, lambda texts: np.array(texts, dtype=object)])
def test_strings_of_any_kind(tmp_path: Path, kind: Any) -> None:
    texts = ["", "a\0b", "猫", "a" * 1000, ""]
    with FeatureStore.create(tmp_path / "s", num_features=1, shard_rows=2) as store:
        store.append(torch.ones(5, 1), ids=kind(texts))
    assert list(FeatureStore.open(tmp_path / "s").ids or []) == texts


def test_strings_of_pandas(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    with FeatureStore.create(tmp_path / "s", num_features=1) as store:
        store.append(torch.ones(2, 1), pandas.Series([1, 0]), pandas.Series(["a", "b"]))
    assert list(store.ids or []) == ["a", "b"]
