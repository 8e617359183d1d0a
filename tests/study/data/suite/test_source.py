"""A declared suite as a source of a study."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from noisymodel.errors import ConfigError
from noisymodel.study import StudyConfig, plan
from noisymodel.study.cell import Cell
from noisymodel.study.collect import collect
from noisymodel.study.data import LazyInputs, Source, open_source, reported_shifts
from noisymodel.study.data.suite import Suite
from noisymodel.study.part_cache import PartCache
from noisymodel.study.plan import CellName
from study.data.suite.lookalikes import encoded, folder, opened, suite, write


def shades(inputs: Any) -> list[int]:
    return (inputs[np.arange(len(inputs))].mean((1, 2, 3)) * 255).round().astype(int).tolist()


def config(root: Path, **changes: Any) -> StudyConfig:
    return StudyConfig.from_mapping({"data": "suite", "shots": 2, "seeds": [3, 4], "suite": suite(root, **changes)})


def test_it_is_a_source(tmp_path: Path) -> None:
    source: Source = open_source(config(tmp_path), 3)
    assert (source.kind, source.vocabulary, source.pretraining_classes) == ("pictures", 0, 2)
    assert source.default_tasks == ("animals",)
    assert [(note.name, note.description, note.role) for note in source.shifts] == [("dark", "darker", "report")]
    assert reported_shifts(config(tmp_path), source) == {"animals": ("dark",)}
    pretraining, check = source.pretraining(), source.pretraining_check()
    assert pretraining.inputs.shape == (8, 3, 4, 4)
    assert pretraining.labels.tolist() == [0] * 4 + [1] * 4, "down comes before up"
    assert shades(pretraining.inputs)[0] == 10
    assert shades(check.inputs) == [110, 111, 100, 101]
    task = source.tasks["animals"]
    assert task.classes == 4
    assert shades(task.test().inputs) == [4, 5, 14, 15, 24, 25, 34, 35]
    shifted = task.shifted("dark")
    assert shades(shifted.inputs) == [7, 8, 17, 18]
    assert shifted.answers is not None
    assert shifted.answers.tolist() == [-1, 0, -1, 1]
    assert shifted.labels.tolist() == [0, 0, 1, 1]
    with pytest.raises(ValueError, match="`shift` must be one of 'dark', got 'fog'"):
        task.shifted("fog")


def test_texts_for_the_report(tmp_path: Path) -> None:
    folder(tmp_path / "dark", ("cow",), 3)
    own = suite(tmp_path, title="beasts", description="Of a farm.")
    folder(tmp_path / "fog", ("dog", "cow", "hen"), 2)
    own["tasks"][0]["shifts"][0] |= {"path": "fog", "name": "fog", "others": "drop"}
    source = Suite(0, own)
    assert source.title == "beasts"
    assert source.description.startswith("Of a farm. Pre-training on 8 pictures of 2 classes; task animals: 4 classes")
    assert "4 of 6 rows of animals under fog are left out: the task lacks their classes 'cow', 'hen'." in source.remarks
    assert "Under fog only 1 of the 4 classes of animals are answers." in source.remarks
    samples = source.samples(5)
    assert {name: pictures.shape for name, pictures in samples.items()} == {"clean": (5, 4, 4), "fog": (5, 4, 4)}
    assert [round(float(picture.mean() * 255)) for picture in samples["clean"]] == [4, 14, 24, 34, 4]


def test_test_pictures_that_are_trained_on_are_said(tmp_path: Path) -> None:
    own = suite(tmp_path)
    assert not any("are trained on" in remark for remark in Suite(0, own).remarks)
    own["tasks"][0]["test"] = {"path": "train", "ranks": [0, 3]}
    own["tasks"][0]["train"] = {"path": "train", "ranks": [2, 4]}
    assert "4 of the 12 test pictures of animals are trained on." in Suite(0, own).remarks
    own["tasks"][0]["train"] = {"path": "train", "ranks": [3, 4]}
    assert not any("are trained on" in remark for remark in Suite(0, own).remarks)


def test_shots_are_drawn_from_the_seed_and_nested(tmp_path: Path) -> None:
    own = suite(tmp_path)
    folder(tmp_path / "train", count=9)
    few, many, all_there = (Suite(3, own).tasks["animals"].training(shots) for shots in (3, 6, 0))
    assert np.bincount(few.labels).tolist() == [3] * 4
    assert set(shades(few.inputs)) < set(shades(many.inputs)) < set(shades(all_there.inputs))
    assert len(all_there.labels) == 36
    assert shades(Suite(3, own).tasks["animals"].training(3).inputs) == shades(few.inputs)
    assert shades(Suite(4, own).tasks["animals"].training(3).inputs) != shades(few.inputs)
    assert shades(few.inputs) == sorted(shades(few.inputs)), "in the order of the data"


def test_too_few_samples_of_a_class(tmp_path: Path) -> None:
    suite(tmp_path)
    for name in ("2.png", "3.png"):
        (tmp_path / "train/cat" / name).unlink()
    message = r"`shots`: task 'animals' has 2 training samples of class 'cat', expected at least 3"
    with pytest.raises(ConfigError, match=message):
        Suite(0, suite(tmp_path)).tasks["animals"].training(3)
    with pytest.raises(ConfigError, match=message):
        open_source(StudyConfig.from_mapping({"data": "suite", "shots": [2, 3], "suite": suite(tmp_path)}), 0)
    message = r"2 training samples of class 'cat' and 3 classes more, expected at least 9"
    with pytest.raises(ConfigError, match=message.replace("2 training samples of class 'cat'", "4 .* class 'ant'")):
        Suite(0, suite(tmp_path)).tasks["animals"].training(9)


def test_large_sets_are_decoded_on_demand(tmp_path: Path) -> None:
    own = suite(tmp_path)
    lazy = Suite(0, own | {"pictures": {"size": 4, "keep_megabytes": 0}})
    at_once = Suite(0, own)
    for one, other in (
        (lazy.pretraining(), at_once.pretraining()),
        (lazy.pretraining_check(), at_once.pretraining_check()),
    ):
        assert isinstance(one.inputs, LazyInputs)
        assert isinstance(other.inputs, np.ndarray)
        assert one.inputs.shape == other.inputs.shape
        assert np.array_equal(one.inputs[np.arange(len(one.inputs))], other.inputs)


def test_everything_that_is_not_there_is_said_at_once(tmp_path: Path) -> None:
    own = suite(tmp_path)
    own["pretraining"] = {"path": "gone"}
    own["tasks"][0]["shifts"].append({"name": "fog", "path": "lost"})
    with pytest.raises(ConfigError) as caught:
        Suite(0, own)
    message = str(caught.value)
    assert f"config key `suite.pretraining.path`: there is nothing at {tmp_path / 'gone'}" in message
    assert f"config key `suite.tasks[0].shifts[1].path`: there is nothing at {tmp_path / 'lost'}" in message
    assert "\n" not in message


def test_data_of_another_kind(tmp_path: Path) -> None:
    write(tmp_path / "texts.csv", "text,label\na,0\nb,1\n")
    with pytest.raises(ConfigError, match=r"`suite.pretraining`: .*texts.csv has no pictures, and `suite.kind` is"):
        Suite(0, suite(tmp_path, pretraining={"path": "texts.csv"}))
    with pytest.raises(ConfigError, match=r"`suite.pretraining`: .*pre has no texts, and `suite.kind` is 'texts'"):
        Suite(0, suite(tmp_path, kind="texts"))
    with pytest.raises(ConfigError, match=r"`suite.pretraining`: .*pre has no captions, and `suite.kind` is 'pairs'"):
        Suite(0, suite(tmp_path, kind="pairs"))
    np.savez(tmp_path / "bare.npz", images=np.zeros((2, 4, 4)))
    with pytest.raises(ConfigError, match=r"`suite.pretraining`: .*bare.npz has no labels, and `suite.kind` is"):
        Suite(0, suite(tmp_path, pretraining={"path": "bare.npz"}))
    own = suite(tmp_path)
    own["tasks"][0]["train"] = {"path": "bare.npz"}
    with pytest.raises(ConfigError, match=r"`suite.tasks\[0\].train`: .*bare.npz has no labels"):
        Suite(0, own)
    own = suite(tmp_path, pretraining_check={"path": "test"})
    with pytest.raises(ConfigError, match=r"`suite.pretraining_check`: .*test has 4 classes that the training"):
        Suite(0, own)


def test_pairs(tmp_path: Path) -> None:
    for part in ("pre", "check"):
        write(tmp_path / f"{part}-pictures/0.png", encoded(40))
        write(tmp_path / f"{part}-pictures/1.png", encoded(50))
        write(tmp_path / f"{part}.csv", f"path,caption\n{part}-pictures/0.png,a cat\n{part}-pictures/1.png,a dog\n")
    sets = {"pretraining": {"path": "pre.csv"}, "pretraining_check": {"path": "check.csv"}}
    source = Suite(0, suite(tmp_path, kind="pairs", texts={"length": 3}, **sets))
    pairs = source.pretraining()
    assert pairs.captions is not None
    assert pairs.captions.tolist() == [[4, 5, 0], [4, 6, 0]]
    assert (source.vocabulary, source.pretraining_classes) == (7, 0)
    assert source.pretraining_check().captions is not None
    assert shades(pairs.inputs) == [40, 50]


def test_texts(tmp_path: Path) -> None:
    write(tmp_path / "pre.csv", "text\nthe cat sat\nthe dog sat\n")
    write(tmp_path / "task.csv", "text,label\nthe cat,cat\na dog,dog\nthe dog,dog\n")
    task = {"name": "beasts", "train": {"path": "task.csv"}, "test": {"path": "task.csv"}}
    sets = {"pretraining": {"path": "pre.csv"}, "pretraining_check": {"path": "pre.csv"}}
    own = {"root": str(tmp_path), "kind": "texts", "texts": {"length": 4}, **sets, "tasks": [task]}
    source = Suite(0, own)
    assert source.pretraining().inputs[np.arange(2)].tolist() == [[5, 6, 4, 0], [5, 7, 4, 0]]
    test = source.tasks["beasts"].test()
    assert test.inputs[np.arange(3)].tolist() == [[5, 6, 0, 0], [1, 7, 0, 0], [5, 7, 0, 0]]
    assert test.labels.tolist() == [0, 1, 1]
    assert source.samples(3) == {}
    assert source.vocabulary == 8


def test_options_belong_to_other_sources(tmp_path: Path) -> None:
    own = {"data": "suite", "suite": suite(tmp_path), "data_options": {"size": 3}}
    with pytest.raises(ConfigError, match="`data_options`: expected none"):
        open_source(StudyConfig.from_mapping(own), 0)


def test_numbers_without_names_are_their_own(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=np.zeros((4, 4, 4)), labels=np.array([0, 2, 1, 2]))
    own = suite(tmp_path)
    own["tasks"] = [{"name": "x", "train": {"path": "a.npz", "labels": "index"}, "test": {"path": "a.npz"}}]
    assert Suite(0, own).tasks["x"].classes == 3
    assert opened(path=str(tmp_path / "a.npz")).classes == ("0", "1", "2")


def test_a_study_on_it_runs_and_computes_anew_when_the_data_change(tmp_path: Path) -> None:
    own = config(tmp_path / "data").to_dict() | {
        "noise_rates": [0, 0.5],
        "methods": ["linear_probe", "lora"],
        "pretraining": {"epochs": 1, "widths": [8, 4], "batch_size": 4},
        "tuning": {"epochs": 1, "batch_size": 4},
    }
    own["seeds"] = [3]
    cache, name = PartCache(tmp_path / "cache"), CellName("supervised", "mlp", "symmetric", 3)

    def missing() -> list[str]:
        planned = plan(StudyConfig.from_mapping(own))
        return list(map(planned.spoken, planned.missing(name, cache)))

    planned = plan(StudyConfig.from_mapping(own))
    assert Cell(planned, name, cache).compute() == []
    accuracies = {(row.data, row.shift) for row in collect(planned, cache).table if row.metric == "accuracy"}
    assert accuracies == {("suite", "none"), ("suite", "dark")}
    assert missing() == []
    write(tmp_path / "data/test/ant/0.png", encoded(200, size=(9, 9)))
    assert missing() == ["features", "linear_probe", "lora"], "the networks have not seen it"
    write(tmp_path / "data/pre/up/0.png", encoded(100, size=(9, 9)))
    assert missing() == ["pretraining", "features", "linear_probe", "lora"]
