"""`.npy` files in and out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from noisymodel.errors import InputFileError
from noisymodel.features import FeatureStore, from_npy, to_npy
from noisymodel.features.interchange import importing

Make = Callable[..., FeatureStore]


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("batch_rows", [1, 4, 100])
def test_round_trip(make: Make, tmp_path: Path, dtype: str, batch_rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "BATCH_ROWS", batch_rows)
    store = make(dtype=dtype)
    assert to_npy(store, tmp_path / "x.npy") == tmp_path / "x.npy"
    to_npy(store, tmp_path / "y.npy", column="labels")
    found = np.load(tmp_path / "x.npy")
    assert found.dtype == (np.float16 if dtype == "float16" else np.float32)
    assert np.array_equal(found, np.asarray(store.features))
    assert np.load(tmp_path / "y.npy").dtype == np.int64
    others = {"ids": np.array(list(store.ids or [])), "columns": {"year": np.asarray(store.column("year"))}}
    options = {"dtype": dtype, "metadata": {"a": 1}, "shard_rows": 7}
    other = from_npy(tmp_path / "x.npy", tmp_path / "other", labels=str(tmp_path / "y.npy"), **others, **options)
    assert torch.equal(other.features[:], store.features[:])
    assert other.labels is not None
    assert store.labels is not None
    assert torch.equal(other.labels[:], store.labels[:])
    assert list(other.ids or []) == list(store.ids or [])
    assert torch.equal(torch.as_tensor(np.asarray(other.column("year"))), torch.arange(25, dtype=torch.int16))
    assert other.metadata == {"a": 1}
    assert [shard.rows for shard in other._manifest.shards] == [7, 7, 7, 4]


def test_arrays_and_tensors(tmp_path: Path) -> None:
    store = from_npy(torch.ones(3, 2, dtype=torch.float16), tmp_path / "s", labels=np.array([0, 1, 2]))
    assert (store.dtype, store.shape) == (torch.float16, (3, 2))
    rows = torch.rand(3, 2, generator=torch.Generator().manual_seed(0))
    assert torch.equal(from_npy(rows, tmp_path / "t").features[:], rows)
    assert torch.equal(from_npy(rows.numpy(), tmp_path / "a").features[:], rows)
    assert from_npy(np.asfortranarray(np.arange(6.0).reshape(3, 2)), tmp_path / "f")[2].tolist() == [4, 5]


def test_an_empty_store_becomes_an_empty_array(tmp_path: Path) -> None:
    FeatureStore.create(tmp_path / "s", num_features=3).close()
    assert np.load(to_npy(FeatureStore.open(tmp_path / "s"), tmp_path / "x.npy")).shape == (0, 3)
    with pytest.raises(ValueError, match=r"x.npy must have rows, got none"):
        from_npy(tmp_path / "x.npy", tmp_path / "t")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no .npy file"),
        (b"nonsense" * 20, "is no .npy file"),
        (np.array([1, None]), "holds Python objects, not numbers"),
        ({"a": np.ones(2)}, "is no .npy file"),
    ],
)
def test_files_that_are_none(tmp_path: Path, content: Any, message: str) -> None:
    path = tmp_path / "x.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, dict):
        with path.open("wb") as file:
            np.savez(file, **content)
    else:
        np.save(path, content, allow_pickle=True)
    with pytest.raises(InputFileError, match=message):
        from_npy(path, tmp_path / "s")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"labels": np.zeros(2, dtype=int)},
            ValueError,
            "`labels` must have one entry per row of `features`, 3, got 2",
        ),
        ({"columns": {"a": np.zeros(4)}}, ValueError, "`a` must have one entry per row of `features`, 3, got 4"),
        ({"labels": np.array(1)}, ValueError, "an array must have one entry per row, got a single int64"),
        ({"features": np.full((3, 2), np.inf)}, ValueError, "`features` has NaN or infinity"),
        ({"features": np.zeros(3)}, ValueError, r"the features in `features` must have shape \(N, D\)"),
    ],
)
def test_bad_arguments(tmp_path: Path, options: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        from_npy(**{"features": np.zeros((3, 2)), "path": tmp_path / "s", **options})


def test_nonfinite_features_on_request(tmp_path: Path) -> None:
    assert len(from_npy(np.full((3, 2), np.inf), tmp_path / "s", allow_nonfinite=True)) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"column": "ids"}, "`column` must not be one of strings, got 'ids': to_parquet writes those"),
        ({"column": "x"}, "`name` must be one of"),
    ],
)
def test_bad_arguments_of_an_export(store: FeatureStore, tmp_path: Path, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        to_npy(store, tmp_path / "x.npy", **options)
    assert not (tmp_path / "x.npy").exists()
