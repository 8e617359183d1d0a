"""Labels of stores are what they are in files: names where the store lists them, else numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from noisymodel import FeatureStore
from noisymodel.errors import FeatureStoreError, InputFileError
from noisymodel.features.opening import read_labels


def store(path: Path, labels: object, **options: object) -> Path:
    metadata = options.pop("metadata", None)
    with FeatureStore.create(path, num_features=1, metadata=metadata, shard_rows=2) as made:
        made.append(torch.ones(3, 1), labels, **options)
    return path


def test_labels_of_a_store(tmp_path: Path) -> None:
    plain = read_labels(store(tmp_path / "plain", [10, 9, 10]))
    assert (plain.values.tolist(), plain.classes, plain.labels.tolist()) == (
        ["10", "9", "10"],
        ("9", "10"),
        [10, 9, 10],
    )
    named = read_labels(store(tmp_path / "named", [1, 0, 1], metadata={"classes": ["dog", "cat", "eel"]}))
    assert (named.values.tolist(), named.classes) == (["cat", "dog", "cat"], ("cat", "dog"))
    assert named.codes.tolist() == [0, 1, 0]
    few = read_labels(store(tmp_path / "few", [1, 2, 1], metadata={"classes": ["dog", "cat"]}))
    assert few.values.tolist() == ["1", "2", "1"], "names that do not fit the numbers name nothing"
    texts = read_labels(store(tmp_path / "texts", None, columns={"kind": ["b", "a", "b"]}), column="kind")
    assert texts.values.tolist() == ["b", "a", "b"]
    (tmp_path / "same.txt").write_text("cat\ndog\ncat\n")
    assert read_labels(tmp_path / "same.txt").classes == named.classes


def test_stores_that_have_none(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="bare has no labels: give a file of labels"):
        read_labels(store(tmp_path / "bare", None))
    with pytest.raises(InputFileError, match=r"soft: 'labels' must be class ids of shape .*, got torch.float64"):
        read_labels(store(tmp_path / "soft", np.full((3, 2), 0.5)))
    (tmp_path / "folder").mkdir()
    with pytest.raises(FeatureStoreError, match=r"has no manifest\.json"):
        read_labels(tmp_path / "folder")
