"""Every preset opens a tiny look-alike of its data; what is missing is said, all of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet
from scipy.io import savemat

from noisymodel.errors import ConfigError, MissingDataError
from noisymodel.study.data.suite import PRESETS, Suite, describe, presets
from noisymodel.study.data.suite.presets import check_presets, expand_presets, missing_files
from study.data.suite.lookalikes import declared_sets, encoded, folder, many_folders, shard, suite, write

SYNSETS = [f"n{number:08d}" for number in range(1000)]


# ---- look-alikes of everything ---------------------------------------------------------------------------------------


def make_imagenet(root: Path) -> None:
    for part in ("train", "val"):
        many_folders(root / "imagenet" / part, SYNSETS, ".JPEG")


def make_variants(root: Path) -> None:
    make_imagenet(root)
    many_folders(root / "imagenetv2-matched-frequency-format-val", [str(number) for number in range(1000)], ".jpeg")
    many_folders(root / "imagenet-r", SYNSETS[::5])
    many_folders(root / "imagenet-a", SYNSETS[1::5])
    many_folders(root / "sketch", SYNSETS, ".JPEG")
    video = root / "imagenet-vid-robust"
    write(video / "val/x/0.JPEG", encoded(1))
    write(video / "val/y/0.JPEG", encoded(2))
    write(video / "metadata/pmsets.json", json.dumps({"val/x/0.JPEG": [], "val/y/0.JPEG": []}))
    write(video / "metadata/labels.json", json.dumps({"val/x/0.JPEG": [0], "val/y/0.JPEG": [1]}))
    write(video / "misc/imagenet_vid_class_index.json", json.dumps({"0": ["v0", "cat"], "1": ["v1", "dog"]}))
    write(video / "misc/rev_wnid_map.json", json.dumps({"v0": SYNSETS[:3], "v1": SYNSETS[7:9]}))
    objects = root / "objectnet-1.0"
    many_folders(objects / "images", [f"thing_{number}" for number in range(313)], ".png")
    write(objects / "mappings/folder_to_objectnet_label.json", json.dumps({"thing_0": "Thing", "thing_1": "Other"}))
    write(objects / "mappings/objectnet_to_imagenet_1k.json", json.dumps({"Thing": "first; second"}))
    write(objects / "mappings/imagenet_to_label_2012_v2", "second\nfirst\n")
    write(objects / "mappings/pytorch_to_imagenet_2012_id.json", json.dumps({"4": 1, "9": 0}))


def make_pairs(name: str) -> Callable[[Path], None]:
    def make(root: Path) -> None:
        shard(root / name / "train/00000.tar", 0)
        shard(root / name / "check/00001.tar", 3)

    return make


def make_domainnet(root: Path) -> None:
    for domain in ("clipart", "painting", "real", "sketch"):
        many_folders(root / "domainnet" / domain, [f"class_{number:03d}" for number in range(345)])
        lines = [f"{domain}/class_{number:03d}/0.jpg {number}" for number in range(345)]
        write(root / f"domainnet/{domain}_train.txt", "\n".join(lines))
        write(root / f"domainnet/{domain}_test.txt", "\n".join(lines[:-1]))


def make_cifar(root: Path) -> None:
    row = bytes(3072)
    ten = root / "cifar-10-batches-bin"
    write(ten / "batches.meta.txt", "\n".join(map(str, range(10))))
    for name in (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"):
        write(ten / name, b"".join(bytes([label]) + row for label in range(10)))
    hundred = root / "cifar-100-binary"
    write(hundred / "fine_label_names.txt", "\n".join(map(str, range(100))))
    for name in ("train.bin", "test.bin"):
        write(hundred / name, b"".join(bytes([0, label]) + row for label in range(100)))


def make_listed(root: Path) -> None:
    foods = [f"food_{number}" for number in range(101)]
    many_folders(root / "food-101/images", foods)
    for part in ("train", "test"):
        write(root / f"food-101/meta/{part}.txt", "\n".join(f"{food}/0" for food in foods))
    textures = [f"texture_{number}" for number in range(47)]
    many_folders(root / "dtd/images", textures, count=3)
    for row, part in enumerate(("train1", "val1", "test1")):
        write(root / f"dtd/labels/{part}.txt", "\n".join(f"{texture}/{row}.jpg" for texture in textures))
    for name in ("Abyssinian_1", "great_pyrenees_2", "Abyssinian_3", "great_pyrenees_4"):
        write(root / f"oxford-iiit-pet/images/{name}.jpg", encoded(1))
    write(root / "oxford-iiit-pet/annotations/trainval.txt", "Abyssinian_1 1 1 1\ngreat_pyrenees_2 2 2 1\n")
    write(root / "oxford-iiit-pet/annotations/test.txt", "Abyssinian_3 1 1 1\ngreat_pyrenees_4 2 2 1\n")
    planes = root / "fgvc-aircraft-2013b/data"
    for name in ("0000001", "0000002"):
        write(planes / f"images/{name}.jpg", encoded(1))
    for part in ("trainval", "test"):
        write(planes / f"images_variant_{part}.txt", "0000001 707-320\n0000002 BAE 146-200\n")


def make_matlab(root: Path) -> None:
    for number in range(1, 5):
        write(root / f"flowers-102/jpg/image_{number:05d}.jpg", encoded(number))
    savemat(root / "flowers-102/imagelabels.mat", {"labels": [[1, 2, 1, 2]]})
    savemat(root / "flowers-102/setid.mat", {"trnid": [[1]], "valid": [[2]], "tstid": [[3, 4]]})
    cars = root / "stanford-cars"
    (cars / "devkit").mkdir(parents=True)
    kind = [("fname", "O"), ("class", "O")]
    for part, name in (("train", "devkit/cars_train_annos.mat"), ("test", "cars_test_annos_withlabels.mat")):
        savemat(cars / name, {"annotations": np.array([[("1.jpg", 1), ("2.jpg", 2)]], dtype=kind)})
        many_folders(cars, [f"cars_{part}"], count=1)
        for number in (1, 2):
            write(cars / f"cars_{part}/{number}.jpg", encoded(number))
    savemat(cars / "devkit/cars_meta.mat", {"class_names": np.array([["One", "Two"]], dtype=object)})
    (root / "svhn").mkdir()
    for part in ("train", "test"):
        content = {"X": np.zeros((32, 32, 3, 10), dtype=np.uint8), "y": np.arange(1, 11)[:, None]}
        savemat(root / f"svhn/{part}_32x32.mat", content)


def make_vision(root: Path) -> None:
    for make in (make_cifar, make_listed, make_matlab):
        make(root)
    many_folders(root / "caltech101", [f"thing_{number}" for number in range(102)], count=31)
    many_folders(root / "eurosat", [f"land_{number}" for number in range(10)], count=5)
    many_folders(root / "resisc45", [f"scene_{number}" for number in range(45)], count=5)
    for part in ("train", "test"):
        folder(root / "rendered-sst2" / part, ("negative", "positive"), 1)
        (root / "pcam" / part).mkdir(parents=True)
        np.save(root / f"pcam/{part}/images.npy", np.zeros((2, 96, 96, 3), dtype=np.uint8))
        np.save(root / f"pcam/{part}/labels.npy", np.array([0, 1]))


def make_glue(root: Path) -> None:
    for task in PRESETS["glue"].tasks:
        table = task["test"]
        test = Path(table["path"]).name.removesuffix("-*.parquet")
        parts = ["train", test] + ["validation_mismatched"] * (task["name"] == "mnli")
        count = len(table["classes"])
        named = [table[key] for key in ("text_column", "text_pair_column") if key in table]
        columns = {column: [f"{column} {row}" for row in range(count)] for column in named}
        for part in parts:
            path = root / f"glue/{task['name']}/{part}-00000-of-00001.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            parquet.write_table(
                pyarrow.table({**columns, "label": list(range(count)), "idx": list(range(count))}), path
            )
    write(root / "own.csv", "text\nsentence one two\n")


def make_glue_x(root: Path) -> None:
    make_glue(root)
    for part in PRESETS["glue-x"].parts.values():
        found = re.search(r"(\S+)\.csv +columns (.+), label \((.+)\)", part.layout)
        if found is None:
            continue
        name, columns, labels = found[1], found[2].split(", "), found[3].split(", ")
        rows = [",".join([*("words" for _ in columns), label]) for label in labels]
        write(root / f"glue-x/{name}.csv", "\n".join([",".join([*columns, "label"]), *rows]) + "\n")


SMALL = {"size": 8, "shorter_side": 0}
OWN_TASK: dict[str, Any] = {"name": "own", "train": {"path": "own/train"}, "test": {"path": "own/test"}}
TEXTS = {"pretraining": {"path": "own.csv"}, "pretraining_check": {"path": "own.csv"}}
CASES: dict[str, tuple[Callable[[Path], None], dict[str, Any]]] = {
    "imagenet-1k": (make_imagenet, {"tasks": [OWN_TASK]}),
    "yfcc15m": (make_pairs("yfcc15m"), {"tasks": [OWN_TASK]}),
    "cc12m": (make_pairs("cc12m"), {"tasks": [OWN_TASK]}),
    "vision-14": (make_vision, {"pretraining": {"path": "own/train"}, "pretraining_check": {"path": "own/test"}}),
    "domainnet": (make_domainnet, {"pretraining": {"path": "own/train"}, "pretraining_check": {"path": "own/test"}}),
    "imagenet-variants": (
        make_variants, {"pretraining": {"path": "own/train"}, "pretraining_check": {"path": "own/test"}},
    ),
    "glue": (make_glue, TEXTS),
    "glue-x": (make_glue_x, TEXTS),
}  # fmt: skip


@pytest.fixture(params=presets())
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Suite]:
    """The suite of a preset on its look-alike, made once."""

    @cache
    def make(name: str) -> Suite:
        root = tmp_path_factory.mktemp(name)
        CASES[name][0](root)
        for part in ("train", "test"):
            folder(root / "own" / part, count=1)
        return Suite(0, declared(name, root))

    return make


def declared(name: str, root: Path) -> dict[str, Any]:
    return {"preset": name, "root": str(root), "pictures": SMALL, **CASES[name][1]}


# ---- each of them ----------------------------------------------------------------------------------------------------


def test_look_alikes_open_and_decode(name: str, opened: Callable[[str], Suite]) -> None:
    source = opened(name)
    assert source.kind == PRESETS[name].kind
    assert list(source.tasks)[: len(PRESETS[name].tasks)] == [task["name"] for task in PRESETS[name].tasks]
    examples = source.pretraining()
    assert len(examples.labels) == len(examples.inputs) > 0
    for key, task in source.tasks.items():
        few = task.training(1)
        assert sorted(few.labels.tolist()) == list(range(task.classes)), key
        assert len(task.test().labels) > 0
        for note in task.shifts:
            shifted = task.shifted(note.name)
            assert len(shifted.inputs) == len(shifted.labels) > 0, (key, note.name)
    assert len(source.input_record()["sets"]) == 16
    assert source.description


def test_what_is_missing_is_said_all_of_it(name: str, tmp_path: Path) -> None:
    with pytest.raises(MissingDataError) as caught:
        Suite(0, declared(name, tmp_path / "nothing"))
    message = str(caught.value)
    needed = PRESETS[name].parts
    assert message.startswith(
        f"config key `suite.preset`: data of {name} are not there: {len(needed)} of {len(needed)}"
    )
    for own in needed.values():
        assert own.source in message
        for file in own.files:
            assert f"missing: {file}\n" in message
        for line in own.layout.splitlines():
            assert line in message


def test_descriptions_say_where_and_how(name: str) -> None:
    text = describe(name)
    assert text.startswith(f"{name}: ")
    for part in PRESETS[name].parts.values():
        assert part.source.startswith(("http", "the authors"))
        assert part.terms
        assert part.source in text
        assert part.layout.splitlines()[-1] in text
        assert part.files


def test_layouts_name_the_files(name: str) -> None:
    """The last part of every file that is asked for stands in the tree, or a pattern that it fits."""
    for own, part in PRESETS[name].parts.items():
        for file in part.files:
            last = file.rpartition("/")[2].partition("*")[0].rstrip(".-")
            found = last in part.layout or any(character.isdigit() for character in last)
            assert found, (own, file)


# ---- all of them -----------------------------------------------------------------------------------------------------


def test_the_papers_suites_are_all_there() -> None:
    assert set(presets()) == set(CASES)
    assert len(PRESETS["vision-14"].tasks) == 14
    shifts = {
        key: [shift["name"] for shift in task.get("shifts", [])] for key in PRESETS for task in PRESETS[key].tasks
    }
    assert shifts["imagenet-variants"] == ["v2", "rendition", "sketch", "adversarial", "video", "objectnet"]
    assert {task["name"] for task in PRESETS["glue-x"].tasks} == {"cola", "sst2", "mrpc", "qqp", "mnli", "qnli", "rte"}


def test_one_part_that_is_missing_is_named_alone(tmp_path: Path) -> None:
    make_vision(tmp_path)
    (tmp_path / "cifar-10-batches-bin/data_batch_3.bin").unlink()
    (tmp_path / "dtd/images/texture_3").rename(tmp_path / "elsewhere")
    with pytest.raises(MissingDataError) as caught:
        check_presets(declared("vision-14", tmp_path))
    message = str(caught.value)
    assert "2 of 14 parts" in message
    assert "missing: cifar-10-batches-bin/data_batch_3.bin\n" in message
    assert "missing: dtd/images: 1 of 47 folders of classes\n" in message
    assert message.count("missing:") == 2


def test_only_the_tasks_that_are_named_are_needed(tmp_path: Path) -> None:
    make_cifar(tmp_path)
    for part in ("train", "test"):
        folder(tmp_path / "own" / part, count=1)
    source = Suite(0, declared("vision-14", tmp_path) | {"only": ["cifar100", "cifar10"]})
    assert list(source.tasks) == ["cifar10", "cifar100"]
    with pytest.raises(ConfigError, match=r"`suite.only`: .*did you mean 'cifar10'\?"):
        declared_sets(declared("vision-14", tmp_path) | {"only": ["cifar-10"]})
    with pytest.raises(ConfigError, match=r"`suite.only`: expected a list of tasks"):
        declared_sets(declared("vision-14", tmp_path) | {"only": "cifar10"})
    with pytest.raises(ConfigError, match=r"`suite.only`: expected beside `preset`"):
        declared_sets({"only": ["cifar10"]})


def test_presets_go_together_and_own_keys_come_first(tmp_path: Path) -> None:
    expanded = expand_presets({"preset": ["imagenet-1k", "domainnet"], "title": "mine", "tasks": [OWN_TASK]})
    assert expanded["pretraining"] == {"path": "imagenet/train", "format": "folder"}
    assert [task["name"] for task in expanded["tasks"]] == ["domainnet_real", "domainnet_sketch", "own"]
    assert (expanded["title"], expanded["kind"]) == ("mine", "pictures")
    assert expanded["pictures"] == {"size": 224, "shorter_side": 256}
    assert expand_presets({"preset": ["cc12m", "domainnet"], "pictures": {"size": 64}})["pictures"]["size"] == 64
    assert expand_presets({"preset": ["cc12m", "domainnet"]})["kind"] == "pairs"
    assert set(declared_sets({"preset": ["imagenet-1k", "imagenet-variants"]})) >= {"suite.tasks[0].shifts[5]"}
    own = suite(tmp_path)
    assert expand_presets(own) == own, "without a preset nothing changes"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"preset": "imagenet"}, r"`suite.preset`: .*did you mean 'imagenet-1k'\?"),
        ({"preset": 3}, "`suite.preset`: expected a name or a list of names, got 3"),
        (
            {"preset": "domainnet"},
            "`suite.pretraining` is missing: domainnet have nothing to pre-train on; .*1k",
        ),
        ({"preset": ["imagenet-1k", "cc12m"]}, "imagenet-1k, cc12m are more than one to pre-train on"),
        ({"preset": ["imagenet-1k", "glue"]}, "imagenet-1k, glue are not all of texts"),
        ({"preset": "imagenet-1k"}, "`suite.tasks`: expected at least one task"),
    ],
)
def test_presets_that_do_not_go_together(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        declared_sets(values)


def test_unknown_presets_are_not_described() -> None:
    with pytest.raises(ConfigError, match=r"`suite\.preset`: .*did you mean 'imagenet-1k'"):
        describe("imagenet")


def test_missing_files_of_a_part(tmp_path: Path) -> None:
    part = PRESETS["vision-14"].parts["eurosat"]
    assert missing_files(part, tmp_path) == ["eurosat"]
    many_folders(tmp_path / "eurosat", ["a", "b"])
    assert missing_files(part, tmp_path) == ["eurosat: 8 of 10 folders of classes"]


# ---- what a look-alike alone can show --------------------------------------------------------------------------------


def test_variants_of_imagenet_answer_as_they_should(opened: Callable[[str], Suite]) -> None:
    task = opened("imagenet-variants").tasks["imagenet"]
    assert task.classes == 1000
    v2 = task.shifted("v2")
    assert v2.answers is None
    assert sorted(v2.labels.tolist()) == list(range(1000)), "numbers of classes, whatever the order of the folders"
    rendition = task.shifted("rendition").answers
    assert rendition is not None
    assert np.flatnonzero(rendition >= 0).tolist() == list(range(0, 1000, 5))
    video = task.shifted("video").answers
    assert video is not None
    assert np.flatnonzero(video >= 0).tolist() == [0, 1, 2, 7, 8]
    objects = task.shifted("objectnet")
    assert objects.answers is not None
    assert np.flatnonzero(objects.answers >= 0).tolist() == [4, 9]
    assert len(objects.labels) == 1, "312 classes that ImageNet lacks are left out"


def test_other_sets_of_glue_are_shifts(opened: Callable[[str], Suite]) -> None:
    source = opened("glue-x")
    qqp = source.tasks["mrpc"].shifted("qqp")
    assert qqp.answers is None
    assert qqp.labels.tolist() == [0, 1, 0, 1], "not_duplicate is not_equivalent; two parts of two rows"
    assert source.tasks["rte"].shifted("mrpc").labels.tolist() == [1, 0, 1, 0], "equivalent is entailment"
    assert source.tasks["sst2"].shifted("flipkart").labels.tolist() == [0, 0, 1], "neutral is negative"
    assert source.tasks["rte"].shifted("scitail").labels.tolist() == [0, 1]
    assert [note.name for note in source.tasks["qqp"].shifts] == ["mrpc", "rte", "hans", "twitter"]
