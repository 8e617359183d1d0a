"""Hugging Face data sets from folders; the Hub itself goes through the same calls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import datasets
from noisymodel.errors import ConfigError, InputFileError
from noisymodel.study.data.suite.declaration import PicturesTable
from noisymodel.study.data.suite.pictures import LazyPictures
from study.data.suite.lookalikes import opened, pixels


def saved(folder: Path, **more: Any) -> datasets.Dataset:
    features = {"image": datasets.Image(), "label": datasets.ClassLabel(names=["no", "yes"])}
    columns: dict[str, Any] = {
        "image": [Image.fromarray(pixels(10 * row)) for row in range(3)],
        "label": [1, 0, -1],
    }
    for name, values in more.items():
        features[name], columns[name] = datasets.Value("string"), values
    dataset = datasets.Dataset.from_dict(columns, features=datasets.Features(features))
    dataset.save_to_disk(str(folder))
    return dataset


def test_a_saved_data_set(tmp_path: Path) -> None:
    saved(tmp_path / "a", caption=["x", "y", "z"])
    rows = opened(path=str(tmp_path / "a"), drop_labels=("-1",))
    assert rows.classes == ("no", "yes")
    assert rows.codes.tolist() == [1, 0]
    assert rows.chosen_captions() == [("x",), ("y",)]
    assert rows.found.pictures is not None
    lazy = LazyPictures(rows.found.pictures, rows.order, PicturesTable(size=4))
    assert np.allclose(lazy[np.array([1, 0])].mean((1, 2, 3)) * 255, [10, 0], atol=1e-3)
    numbers = opened(path=str(tmp_path / "a"), labels="index", drop_labels=("-1",))
    assert numbers.classes is None


def test_splits_are_named(tmp_path: Path) -> None:
    dataset = saved(tmp_path / "x")
    datasets.DatasetDict(train=dataset, test=dataset.select([1])).save_to_disk(str(tmp_path / "a"))
    assert len(opened(path=str(tmp_path / "a"), split="test")) == 1
    with pytest.raises(ConfigError, match="`split` must be one of train, test, got 'val'"):
        opened(path=str(tmp_path / "a"), split="val")


def test_folders_that_load_dataset_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    table = datasets.Dataset.from_dict({"sentence": ["a", "b"], "other": ["c", "d"], "label": [1, 0]})
    table.to_parquet(str(tmp_path / "a" / "train.parquet"))
    rows = opened(path=str(tmp_path / "a"), format="huggingface", split="train", text_pair_column="other")
    assert rows.chosen_texts() == [("a", "c"), ("b", "d")]
    assert rows.classes == ("0", "1")
    assert rows.found.extra


def test_columns_that_are_not_there(tmp_path: Path) -> None:
    saved(tmp_path / "a")
    with pytest.raises(ConfigError, match="has no column 'species', only image, label"):
        opened(path=str(tmp_path / "a"), label_column="species")
    datasets.Dataset.from_dict({"number": [1]}).save_to_disk(str(tmp_path / "b"))
    with pytest.raises(ConfigError, match="has no column of pictures or texts, only number"):
        opened(path=str(tmp_path / "b"))
    with pytest.raises(ConfigError, match="gone cannot be read as a Hugging Face data set"):
        opened(path=str(tmp_path / "gone"), format="huggingface")


def test_a_damaged_picture_is_named(tmp_path: Path) -> None:
    features = datasets.Features({"image": datasets.Image()})
    broken = datasets.Dataset.from_dict({"image": [{"bytes": b"none", "path": None}]}, features=features)
    broken.save_to_disk(str(tmp_path / "a"))
    rows = opened(path=str(tmp_path / "a"))
    assert rows.found.pictures is not None
    with pytest.raises(InputFileError, match="a, row 0 cannot be read as a picture"):
        LazyPictures(rows.found.pictures, rows.order, PicturesTable(size=4))[np.array([0])]


def test_the_hub_is_asked_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, ...]] = []

    def load(*arguments: Any) -> Any:
        asked.append(arguments)
        return datasets.DatasetDict(train=datasets.Dataset.from_dict({"text": ["a"], "label": [0]}))

    monkeypatch.setattr(datasets, "load_dataset", load)
    rows = opened(path="hub:someone/something", subset="small", split="train")
    assert asked == [("someone/something", "small")]
    assert rows.place == "someone/something [small] [train]"
