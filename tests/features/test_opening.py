from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from noisymodel import FeatureStore
from noisymodel.errors import FeatureStoreError, InputFileError
from noisymodel.features.opening import open_features, read_labels


def test_features(tmp_path: Path) -> None:
    rows = np.arange(6, dtype=np.float32).reshape(3, 2)
    np.save(tmp_path / "x.npy", rows)
    found = open_features(tmp_path / "x.npy")
    assert isinstance(found, np.memmap)
    assert np.array_equal(found, rows)
    with FeatureStore.create(tmp_path / "store", num_features=2) as store:
        store.append(torch.from_numpy(rows))
    assert len(open_features(str(tmp_path / "store"))) == 3


def test_features_that_are_none(tmp_path: Path) -> None:
    np.save(tmp_path / "flat.npy", np.zeros(3))
    np.save(tmp_path / "whole.npy", np.zeros((3, 2), dtype=int))
    np.save(tmp_path / "objects.npy", np.array([{}, {}]), allow_pickle=True)
    (tmp_path / "cut.npy").write_bytes((tmp_path / "flat.npy").read_bytes()[:20])
    (tmp_path / "x.txt").write_text("1 2")
    for name, told in [
        ("flat.npy", r"flat\.npy must hold features.*got float64 \(3,\)"),
        ("whole.npy", r"got int64 \(3, 2\)"),
        ("objects.npy", "cannot be read as an .npy file: .*Python objects"),
        ("cut.npy", r"cut\.npy cannot be read"),
        ("missing.npy", r"missing\.npy cannot be read.*No such file"),
        ("x.txt", "must be a feature store's folder or an .npy file"),
        (".", r"is a folder without manifest\.json"),
    ]:
        with pytest.raises(InputFileError, match=told):
            open_features(tmp_path / name)
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "manifest.json").write_text("{")
    with pytest.raises(FeatureStoreError):
        open_features(tmp_path / "store")


@pytest.mark.parametrize(
    ("name", "text", "column", "wanted"),
    [
        ("y.txt", "cat\ndog \ncat", None, ["cat", "dog", "cat"]),
        ("y.txt", "3\n-1\r\n2\n", None, [3, -1, 2]),
        ("y.txt", "3\n1.5\n", None, ["3", "1.5"]),
        ("y.csv", "label\n3\n4\n", None, [3, 4]),
        ("y.csv", "only\na\nb\n", None, ["a", "b"]),
        ("y.csv", 'id,label,x\n1,"a, b",2\n2,c,3\n', None, ["a, b", "c"]),
        ("y.csv", "id,label,x\n1,a,2\n2,c,3\n", "x", [2, 3]),
        ("y.tsv", "id\tlabel\n1\ta\n", None, ["a"]),
    ],
)
def test_labels(tmp_path: Path, name: str, text: str, column: str | None, wanted: list) -> None:
    (tmp_path / name).write_text(text, newline="")
    assert read_labels(tmp_path / name, column=column).tolist() == wanted


def test_labels_of_arrays(tmp_path: Path) -> None:
    np.save(tmp_path / "y.npy", np.array([2, 0, 1], dtype=np.uint8))
    assert read_labels(tmp_path / "y.npy").tolist() == [2, 0, 1]
    np.save(tmp_path / "y.npy", np.array([0.5, 1.0]))
    with pytest.raises(InputFileError, match=r"integers or strings of shape \(N,\), got float64 \(2,\)"):
        read_labels(tmp_path / "y.npy")


@pytest.mark.parametrize(
    ("name", "text", "column", "told"),
    [
        ("y.txt", "a\n\nb\n", None, r"y\.txt, line 2: the label is missing"),
        ("y.csv", "label\na\n,\n", None, r"line 3: 2 fields, but the header has 1"),
        ("y.csv", "id,label\n1,a\n2,\n", None, r"y\.csv, line 3: the label is missing"),
        ("y.csv", "id,name\n1,a\n", None, "no column 'label', only id, name: name one"),
        ("y.csv", "id,name\n1,a\n", "x", "no column 'x'"),
        ("y.csv", "", None, "is empty"),
        ("y.csv", "label\n", None, "has no labels"),
        ("y.txt", "", None, "has no labels"),
    ],
)
def test_bad_labels(tmp_path: Path, name: str, text: str, column: str | None, told: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputFileError, match=told):
        read_labels(tmp_path / name, column=column)


def test_labels_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "y.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(InputFileError, match="cannot be read as labels"):
        read_labels(tmp_path / "y.txt")
    with pytest.raises(InputFileError, match="No such file"):
        read_labels(tmp_path / "none.txt")
