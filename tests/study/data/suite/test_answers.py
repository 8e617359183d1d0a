"""Label sets that overlap in part: which answers count, what is right, what is left out, what is an error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noisymodel.errors import ConfigError
from noisymodel.study.data.suite.answers import Matched, match_shift, match_test, read_objectnet_mappings
from noisymodel.study.data.suite.declaration import SetTable, ShiftTable, SuiteTable, read_label_map
from noisymodel.study.data.suite.rows import Found, Rows, arranged
from study.data.suite.lookalikes import write

TASK = ("ant", "bee", "cat", "dog")


def rows(*labels: str, **values: Any) -> Rows:
    return arranged(Found("there", [str(row) for row in range(len(labels))], list(labels)), SetTable(**values), ())


def matched(*labels: str, label_map: object = None, classes: tuple[str, ...] = TASK, **values: Any) -> Matched:
    table = {name: value for name, value in values.items() if name in ("labels", "classes")}
    shift = ShiftTable(name="fog", label_map=None if label_map is None else read_label_map(label_map, "m"), **values)
    return match_shift(rows(*labels, **table), classes, shift, "suite.tasks[0].shifts[0]", SuiteTable())


def right(found: Matched, predicted: str, classes: tuple[str, ...] = TASK) -> list[bool]:
    """Which rows a constant answer gets right, by the definition of `Examples.answers`."""
    number = classes.index(predicted)
    answer = number if found.answers is None else found.answers[number]
    return (found.rows.codes == answer).tolist()


def test_the_same_classes() -> None:
    found = matched("dog", "ant", "cat", "bee")
    assert found.answers is None
    assert found.rows.codes.tolist() == [3, 0, 2, 1]


def test_some_of_the_classes() -> None:
    found = matched("dog", "bee", "dog")
    assert found.answers is not None
    assert (found.answers >= 0).tolist() == [False, True, False, True]
    assert right(found, "dog") == [True, False, True]
    assert right(found, "bee") == [False, True, False]


def test_all_answers_may_count_where_classes_are_missing() -> None:
    found = matched("dog", "bee", answers="all")
    assert found.answers is None
    assert found.rows.codes.tolist() == [3, 1]
    found = matched("insect", "dog", label_map={"insect": ["ant", "bee"], "dog": "dog"}, answers="all")
    assert found.answers is not None
    assert right(found, "cat") == [False, False], "a valid answer, and always wrong"
    assert found.answers[2] not in found.rows.codes


def test_one_to_one_by_name_and_by_number() -> None:
    names = matched("Hund", "Katze", label_map={"Hund": "dog", "Katze": "cat"})
    numbers = matched("Hund", "Katze", label_map={"Hund": 3, "Katze": "2"})
    for found in (names, numbers):
        assert right(found, "dog") == [True, False]
        assert right(found, "cat") == [False, True]
        assert found.answers is not None
        assert (found.answers >= 0).tolist() == [False, False, True, True]


def test_a_class_may_have_a_number_for_a_name() -> None:
    assert right(matched("x", label_map={"x": "1"}, classes=("1", "0")), "1", ("1", "0")) == [True]
    assert right(matched("x", label_map={"x": 1}, classes=("1", "0")), "0", ("1", "0")) == [True]


def test_many_to_one_both_ways() -> None:
    found = matched("insect", "dog", "pet", label_map={"insect": ["ant", "bee"], "dog": ["dog", "cat"], "pet": [2, 3]})
    assert right(found, "ant") == right(found, "bee") == [True, False, False]
    assert right(found, "cat") == right(found, "dog") == [False, True, True], "two names for one group"
    assert found.answers is not None
    assert (found.answers >= 0).all()


def test_rows_without_a_counterpart_are_dropped_and_counted() -> None:
    found = matched("dog", "cow", "cow", "ant", others="drop")
    assert (found.dropped, found.lost) == (2, ("cow",))
    assert len(found.rows) == 2
    found = matched("dog", "cow", "ant", label_map={"dog": "dog"})
    assert (found.dropped, found.lost) == (2, ("ant", "cow")), "only what the map names counts"


def test_numbers_are_those_of_the_task_or_have_names_of_their_own() -> None:
    assert right(matched("3", "0", labels="index"), "dog") == [True, False]
    with pytest.raises(ConfigError, match=r"has label 4, but the task has 4 classes; `classes` or `classes_file`"):
        matched("4", labels="index")


@pytest.mark.parametrize(
    ("labels", "label_map", "message"),
    [
        (("dgo", "ant"), None, r"shifts\[0\]`: there has 1 classes that the task lacks: 'dgo' \(did you mean 'dog'"),
        (("x", "y"), None, "2 classes that the task lacks: 'x', 'y'; a `label_map` says what they are"),
        (("a",), {"b": "dog", "c": "cat"}, "label_map`: 2 names are no classes of the shifted set: 'b', 'c'"),
        (("a",), {"a": ["dgo", "cta"]}, "label_map`: 2 names are no classes of the task: 'dgo', 'cta' .*'dog' for the"),
        (("a",), {"a": 4}, "1 names are no classes of the task: '4'"),
        (("a", "b"), {"a": ["dog", "cat"], "b": "cat"}, "label_map`: 'a', 'b' share some of their classes but not all"),
    ],
)
def test_what_fits_nothing_is_listed(labels: tuple[str, ...], label_map: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        matched(*labels, label_map=label_map)


def test_nothing_left_is_an_error() -> None:
    with pytest.raises(ConfigError, match="1 classes that the task lacks: 'x'"):
        matched("x", others="drop")


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=12), st.lists(st.integers(-1, 4), min_size=6, max_size=6))
def test_against_the_definition(labels: list[int], targets: list[int]) -> None:
    """A row is right for an answer if and only if the map sends its class to it."""
    label_map = {f"s{one}": TASK[target] for one, target in enumerate(targets) if 0 <= target < 4}
    label_map = {name: target for name, target in label_map.items() if int(name[1:]) in labels}
    kept = [one for one in labels if f"s{one}" in label_map]
    if not kept:
        return
    found = matched(*(f"s{one}" for one in labels), label_map=label_map)
    assert len(found.rows) == len(kept)
    assert found.dropped == len(labels) - len(kept)
    for answer in TASK:
        if found.answers is None or found.answers[TASK.index(answer)] >= 0:
            assert right(found, answer) == [label_map[f"s{one}"] == answer for one in kept]
        else:
            assert answer not in label_map.values()


# ---- test sets -------------------------------------------------------------------------------------------------------


def test_test_sets_are_matched_by_name_not_by_order() -> None:
    found = match_test(rows("dog", "bee"), TASK, "k")
    assert found.codes.tolist() == [3, 1]
    assert match_test(rows("2", "0", labels="index"), TASK, "k").codes.tolist() == [2, 0]


@pytest.mark.parametrize(
    ("labels", "values", "message"),
    [
        (("dgo",), {}, r"`k`: there has 1 classes that the training set lacks: 'dgo' \(did you mean 'dog'"),
        (("4",), {"labels": "index"}, "has label 4, but the task has 4 classes"),
    ],
)
def test_test_sets_with_other_classes(labels: tuple[str, ...], values: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        match_test(rows(*labels, **values), TASK, "k")


def test_a_test_set_without_labels() -> None:
    with pytest.raises(ConfigError, match="`k`: there has no labels"):
        match_test(arranged(Found("there", ["a"]), SetTable(), ()), TASK, "k")


# ---- label maps in files ---------------------------------------------------------------------------------------------


def in_file(tmp_path: Path, name: str) -> Matched:
    shift = ShiftTable(name="fog", label_map_file=name)
    return match_shift(rows("insect", "Hund"), TASK, shift, "key", SuiteTable(root=str(tmp_path)))


def test_json_and_csv(tmp_path: Path) -> None:
    write(tmp_path / "a.json", json.dumps({"insect": ["ant", "bee"], "Hund": 3}))
    write(tmp_path / "a.csv", "shifted,task\ninsect,ant\nHund,dog\ninsect,bee\n")
    for name in ("a.json", "a.csv"):
        found = in_file(tmp_path, name)
        assert right(found, "bee") == [True, False]
        assert right(found, "dog") == [False, True]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "from,to\n", "a.csv cannot be read as a label map: .*has no column 'shifted', only 'from', 'to'"),
        ("a.json", "[]", "it holds no JSON object"),
        ("a.json", '{"insect": {}}', "insect`: expected a class or a list of classes"),
        ("a.txt", "", "expected a .json or .csv file, or ObjectNet's folder"),
        ("gone.csv", None, "gone.csv cannot be read as a label map"),
    ],
)
def test_files_that_are_no_label_maps(tmp_path: Path, name: str, content: str | None, message: str) -> None:
    if content is not None:
        write(tmp_path / name, content)
    with pytest.raises(ConfigError, match=f"config key `key.label_map_file.*{message}"):
        in_file(tmp_path, name)


def objectnet_mappings(folder: Path) -> Path:
    """As in ObjectNet's archive: names of ImageNet in an order of their own, and a table to that of the synsets."""
    labels = {"insect_like": "Insect", "hound": "Dog", "jug": "Jug"}
    write(folder / "folder_to_objectnet_label.json", json.dumps(labels))
    write(folder / "objectnet_to_imagenet_1k.json", json.dumps({"Insect": "ant, emmet; bee", "Dog": "dog"}))
    write(folder / "imagenet_to_label_2012_v2", "dog\nant, emmet\ncat\nbee\n")
    write(folder / "pytorch_to_imagenet_2012_id.json", json.dumps({"0": 1, "1": 3, "2": 2, "3": 0}))
    return folder


def test_objectnets_own_mappings(tmp_path: Path) -> None:
    found = dict(read_objectnet_mappings(objectnet_mappings(tmp_path / "mappings")))
    assert found == {"insect_like": (0, 1), "hound": (3,)}
    shift = ShiftTable(name="fog", label_map_file="mappings")
    own = match_shift(rows("hound", "jug", "insect_like"), TASK, shift, "key", SuiteTable(root=str(tmp_path)))
    assert (own.dropped, own.lost) == (1, ("jug",))
    assert own.answers is not None
    assert own.answers.tolist() == [0, 0, -1, 1]
    assert own.rows.codes.tolist() == [1, 0]
    assert np.array_equal(own.rows.order, [0, 2])
    (tmp_path / "mappings/imagenet_to_label_2012_v2").unlink()
    with pytest.raises(ConfigError, match="mappings cannot be read as a label map"):
        match_shift(rows("hound"), TASK, shift, "key", SuiteTable(root=str(tmp_path)))
