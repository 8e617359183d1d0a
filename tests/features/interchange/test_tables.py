"""Arrow, Parquet and Hugging Face datasets in and out."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from noisymodel.errors import InputFileError, MissingExtraError
from noisymodel.features import (
    FeatureStore,
    from_arrow,
    from_dataset,
    from_parquet,
    to_arrow,
    to_dataset,
    to_parquet,
)
from noisymodel.features.interchange import importing

pyarrow = pytest.importorskip("pyarrow")
Make = Callable[..., FeatureStore]

ROWS = 9


@pytest.fixture(params=["float32", "float16", "bfloat16"])
def rich(request: pytest.FixtureRequest, tmp_path: Path) -> FeatureStore:
    """A store with columns of all kinds."""
    with FeatureStore.create(
        tmp_path / "rich", num_features=3, dtype=request.param, shard_rows=4, metadata={"backbone": "é"}
    ) as store:
        columns = {
            "cube": np.arange(ROWS * 6.0).reshape(ROWS, 2, 3),
            "flag": np.arange(ROWS) % 2 == 0,
            "small": np.arange(ROWS, dtype=np.uint8),
            "text": [f"é{i}" for i in range(ROWS)],
        }
        store.append(
            torch.randn(ROWS, 3, generator=torch.Generator().manual_seed(0)), np.eye(ROWS), range(ROWS), columns=columns
        )
    return store


def check_same(other: FeatureStore, store: FeatureStore) -> None:
    other.verify()
    assert other.dtype == store.dtype
    assert set(other.columns) == set(store.columns)
    for name in store.columns:
        mine, theirs = store.column(name)[:], other.column(name)[:]
        if isinstance(mine, torch.Tensor):
            assert isinstance(theirs, torch.Tensor)
            assert mine.dtype == theirs.dtype
            assert torch.equal(mine, theirs), name
        else:
            assert mine == theirs


def test_arrow_round_trip(rich: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "BATCH_ROWS", 4)
    batches = list(to_arrow(rich))
    assert [len(batch) for batch in batches] == [4, 4, 1]
    other = from_arrow(batches, tmp_path / "other", shard_rows=2)
    check_same(other, rich)
    assert other.metadata == {"backbone": "é"}
    assert len(other._manifest.shards) == 5
    table = pyarrow.Table.from_batches(batches)
    check_same(from_arrow([table], tmp_path / "table"), rich)


@pytest.mark.parametrize("batch_rows", [1, 4, 100])
def test_parquet_round_trip(
    rich: FeatureStore, tmp_path: Path, batch_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "BATCH_ROWS", batch_rows)
    path = to_parquet(rich, tmp_path / "x.parquet")
    other = from_parquet(path, tmp_path / "other")
    check_same(other, rich)
    assert other.fingerprint == rich.fingerprint
    assert from_parquet(path, tmp_path / "t", metadata={}, dtype="float16").metadata == {}


def test_several_parquet_files(store: FeatureStore, tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    for name in ("b", "a"):
        to_parquet(store, tmp_path / "p" / f"{name}.parquet")
    assert len(from_parquet(tmp_path / "p", tmp_path / "folder")) == 50
    files = [tmp_path / "p" / "a.parquet", str(tmp_path / "p" / "b.parquet"), tmp_path / "p" / "a.parquet"]
    assert len(from_parquet(files, tmp_path / "listed")) == 75
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputFileError, match=r"empty has no file \*.parquet"):
        from_parquet(tmp_path / "empty", tmp_path / "s")


@pytest.mark.parametrize("streaming", [False, True])
def test_datasets_round_trip(
    rich: FeatureStore, tmp_path: Path, streaming: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("datasets.arrow_dataset")  # where it is missing, "datasets" is tests/datasets
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(importing, "BATCH_ROWS", 2)
    dataset = to_dataset(rich, tmp_path / "x.arrow")
    assert len(dataset) == ROWS
    assert dataset[3]["text"] == "é3"
    source = dataset.to_iterable_dataset() if streaming else dataset
    dtype = str(rich.dtype).removeprefix("torch.")
    other = from_dataset(source, tmp_path / "other", dtype=dtype, metadata={"a": 1}, shard_rows=3)
    check_same(other, rich)
    assert other.metadata == {"a": 1}
    shuffled = from_dataset(dataset.select([4, 2]), tmp_path / "two", columns=[])
    assert shuffled.columns == ("features", "labels", "ids")
    assert shuffled.ids is not None
    assert np.asarray(shuffled.ids).tolist() == [4, 2]


def test_an_empty_store_becomes_an_empty_file(tmp_path: Path) -> None:
    FeatureStore.create(tmp_path / "s", num_features=3).close()
    path = to_parquet(FeatureStore.open(tmp_path / "s"), tmp_path / "x.parquet")
    with pytest.raises(ValueError, match=r"x.parquet must have rows, got none"):
        from_parquet(path, tmp_path / "t")
    with pytest.raises(ValueError, match=r"the table must have rows, got none"):
        from_arrow([], tmp_path / "t")


def batch(**columns: Any) -> Any:
    return pyarrow.RecordBatch.from_pydict(columns)


@pytest.mark.parametrize("kind", ["list", "large_list", "fixed", "tensor", "sliced"])
def test_lists_of_all_kinds(tmp_path: Path, kind: str) -> None:
    values = np.arange(6, dtype=np.float32).reshape(3, 2)
    types = {
        "list": pyarrow.list_(pyarrow.float32()),
        "large_list": pyarrow.large_list(pyarrow.float32()),
        "fixed": pyarrow.list_(pyarrow.float32(), 2),
        "sliced": pyarrow.list_(pyarrow.float32(), 2),
    }
    if kind == "tensor":
        features = pyarrow.FixedShapeTensorArray.from_numpy_ndarray(values)
    else:
        features = pyarrow.array(values.tolist(), types[kind])
    table = batch(features=features, label=[0, 1, 0], ids=pyarrow.array(["a", "b", "a"]).dictionary_encode())
    table = table.slice(1) if kind == "sliced" else table
    store = from_arrow([table], tmp_path / "s")
    assert store.features[:].tolist() == values[1 if kind == "sliced" else 0 :].tolist()
    assert store.labels is not None
    assert store.labels[:].tolist() == [0, 1, 0][-len(store) :]
    assert list(store.ids or []) == ["a", "b", "a"][-len(store) :]


def test_columns_by_name(tmp_path: Path) -> None:
    table = batch(x=[[1.0, 2.0]], y=[3], key=["k"], extra=[1], dropped=[None])
    store = from_arrow([table], tmp_path / "s", features="x", labels="y", ids="key", columns=["extra"])
    assert store.columns == ("features", "labels", "ids", "extra")
    assert store.labels is not None
    assert store.labels[:].tolist() == [3]


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ({"x": [[1.0]]}, {}, "the table has no column 'features': it has x"),
        ({"features": [[1.0]]}, {"labels": "y"}, "has no column 'y': it has features"),
        ({"features": [[1.0]]}, {"ids": "y"}, "has no column 'y'"),
        ({"features": [[1.0]]}, {"columns": ["y"]}, "has no column 'y'"),
        ({"features": [[1.0], [1.0, 2.0]]}, {}, "the column 'features' .* lists of one length, got 1 and 2"),
        ({"features": [[1.0], None]}, {}, "the column 'features' of the table must have no nulls, got 1"),
        ({"features": [[1.0, None]]}, {}, "the column 'features' of the table must have no nulls, got 1"),
        ({"features": [[1.0]], "labels": [None]}, {}, "the column 'labels' of the table must have no nulls"),
        ({"features": [[1.0]], "z": [{"a": 1}]}, {}, "the column 'z' .* numbers, .* got struct<a: int64>: leave"),
        ({"features": [1.0]}, {}, r"must have shape \(N, D\)"),
        ({"features": [[float("nan")]]}, {}, "`features` has NaN or infinity"),
    ],
)  # fmt: skip
def test_tables_that_do_not_fit(tmp_path: Path, columns: Any, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_arrow([batch(**columns)], tmp_path / "s", **options)
    assert list(tmp_path.iterdir()) == []


def test_nonfinite_features_on_request(tmp_path: Path) -> None:
    tables = [batch(features=[[float("nan")]])]
    assert len(from_arrow(tables, tmp_path / "a", allow_nonfinite=True)) == 1
    pyarrow.parquet.write_table(pyarrow.Table.from_batches(tables), tmp_path / "x.parquet")
    assert len(from_parquet(tmp_path / "x.parquet", tmp_path / "p", allow_nonfinite=True)) == 1


def test_a_damaged_parquet_file(store: FeatureStore, tmp_path: Path) -> None:
    path = to_parquet(store, tmp_path / "x.parquet")
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(InputFileError, match=r"x.parquet is no Parquet file, or damaged"):
        from_parquet(path, tmp_path / "s")


@pytest.mark.parametrize(("package", "extra"), [("pyarrow", "tables"), ("datasets", "datasets")])
def test_missing_extras(
    store: FeatureStore, tmp_path: Path, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    calls: dict[str, list[Callable[[], object]]] = {
        "pyarrow": [
            lambda: to_arrow(store),
            lambda: to_parquet(store, tmp_path / "x"),
            lambda: from_parquet(tmp_path / "x", tmp_path / "s"),
            lambda: from_arrow([], tmp_path / "s"),
        ],
        "datasets": [lambda: to_dataset(store, tmp_path / "x"), lambda: from_dataset(None, tmp_path / "s")],
    }
    for call in calls[package]:
        with pytest.raises(MissingExtraError, match=rf"`{package}` is needed for .*noisymodel\[{extra}\]"):
            call()
