"""What a table ``suite`` may say, and how an error names the key."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from noisymodel.errors import ConfigError
from noisymodel.study.data.suite.declaration import read_declaration

PLAIN: dict[str, Any] = {
    "pretraining": {"path": "a"},
    "pretraining_check": {"path": "b"},
    "tasks": [
        {
            "name": "first",
            "train": {"path": "c"},
            "test": {"path": "d", "portion": [0, 0.5]},
            "shifts": [{"name": "fog", "path": "e", "label_map": {"x": ["y", 3], "z": 0}}],
        }
    ],
}


def changed(place: str, value: object) -> dict[str, Any]:
    """The plain table with one key set, as ``tasks.0.train.path``."""
    table: Any = copy.deepcopy(PLAIN)
    *parts, last = [int(part) if part.isdigit() else part for part in place.split(".")]
    inner = table
    for part in parts:
        inner = inner.setdefault(part, {}) if isinstance(inner, dict) else inner[part]
    inner[last] = value
    return table


def test_everything_is_read() -> None:
    suite = read_declaration(PLAIN)
    assert list(suite.sets()) == [
        "suite.pretraining",
        "suite.pretraining_check",
        "suite.tasks[0].train",
        "suite.tasks[0].test",
        "suite.tasks[0].shifts[0]",
    ]
    assert suite.tasks[0].shifts[0].label_map == (("x", ("y", 3)), ("z", (0,)))
    assert suite.tasks[0].test.portion == (0.0, 0.5)
    assert (suite.pictures.size, suite.texts.length, suite.kind) == (32, 32, "pictures")


def test_paths_start_from_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_OF_MINE", "/somewhere")
    suite = read_declaration(PLAIN | {"root": "$DATA_OF_MINE/x"})
    assert suite.resolve("a/b") == Path("/somewhere/x/a/b")
    assert suite.resolve("/c") == Path("/c")
    assert suite.resolve("~/c") == Path.home() / "c"


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("pictures.sise", 3, r"`suite.pictures.sise` is unknown; did you mean `suite.pictures.size`\?"),
        ("pictures.channels", 2, "`suite.pictures.channels`: expected 1 or 3, got 2"),
        ("pictures.size", 0, "`suite.pictures.size`: expected a positive integer"),
        ("pictures.fit", "croop", r"`suite.pictures.fit`: .*did you mean 'crop'\?"),
        ("pictures.shorter_side", 8, "`suite.pictures.shorter_side`: expected 0 or at least `size`"),
        ("pictures.threads", 0, "`suite.pictures.threads`: expected a positive"),
        ("pictures.keep_megabytes", -1, "`suite.pictures.keep_megabytes`: expected at least 0"),
        ("texts.length", 0, "`suite.texts.length`: expected a positive"),
        ("texts.vocabulary", 4, "`suite.texts.vocabulary`: expected at least 5"),
        ("kind", "picture", r"`suite.kind`: .*did you mean 'pictures'\?"),
        ("pretraining.path", "", "`suite.pretraining.path` is missing"),
        ("tasks", [], "`suite.tasks`: expected at least one task"),
        ("tasks", {"a": 1}, "`suite.tasks`: expected a list of tables"),
        ("tasks", [3], r"`suite.tasks\[0\]`: expected a table of keys, got 3"),
        (
            "tasks",
            [*PLAIN["tasks"], *PLAIN["tasks"]],
            "`suite.tasks`: expected tables with a `name` each, all different",
        ),
        ("tasks.0.train", "c", r"`suite.tasks\[0\].train`: expected a table of keys, got 'c'"),
        ("tasks.0.tset", {}, r"`suite.tasks\[0\].tset` is unknown; did you mean `suite.tasks\[0\].test`\?"),
        ("tasks.0.name", 3, r"`suite.tasks\[0\].name`: expected a string, got 3"),
        ("tasks.0.name", "a/b", r"`suite.tasks\[0\].name`: expected a name without `/`"),
        ("tasks.0.test.labels", "number", r"`suite.tasks\[0\].test.labels`: expected one of 'name', 'index'"),
        ("tasks.0.test.label_from", "fodler", r"`suite.tasks\[0\].test.label_from`: .*did you mean 'folder'"),
        ("tasks.0.test.file_pattern", "x", r"`suite.tasks\[0\].test.file_pattern`: expected a pattern with `{}`"),
        ("tasks.0.test.portion", [0.5, 0.2], r"`suite.tasks\[0\].test.portion`: expected two ascending numbers"),
        ("tasks.0.train.ranks", [3, 2], r"`suite.tasks\[0\].train.ranks`: expected two ascending integers"),
        ("tasks.0.test.ranks", [0, 2], r"`suite.tasks\[0\].test.ranks`: expected either this or `portion`"),
        ("tasks.0.test.border", -1, r"`suite.tasks\[0\].test.border`: expected at least 0"),
        ("tasks.0.test.classes", ["a", "a"], r"`suite.tasks\[0\].test.classes`: expected distinct names"),
        ("tasks.0.shifts.0.pth", "x", r"`suite.tasks\[0\].shifts\[0\].pth` is unknown; did you mean .*path`"),
        ("tasks.0.shifts.0.path", 3, r"`suite.tasks\[0\].shifts\[0\].path`: expected a string, got 3"),
        ("tasks.0.shifts.0.name", "", r"`suite.tasks\[0\].shifts`: expected tables with a `name` each"),
        ("tasks.0.shifts.0.name", "none", r"`suite.tasks\[0\].shifts\[0\].name`: expected another name"),
        ("tasks.0.shifts.0.others", "keep", r"`suite.tasks\[0\].shifts\[0\].others`: expected one of 'error', 'drop'"),
        (
            "tasks.0.shifts.0.answers",
            "some",
            r"`suite.tasks\[0\].shifts\[0\].answers`: expected one of 'present', 'all'",
        ),
        ("tasks.0.shifts.0.label_map", ["a"], r"`suite.tasks\[0\].shifts\[0\].label_map`: expected a table"),
        ("tasks.0.shifts.0.label_map.q", 1.5, r"label_map.q`: expected a class or a list of classes, got 1.5"),
        ("tasks.0.shifts.0.label_map_file", "m.json", r"label_map`: expected either this or `label_map_file`"),
    ],
)
def test_what_is_wrong_is_named(place: str, value: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_declaration(changed(place, value))


@pytest.mark.parametrize("name", ["name", "train", "test"])
def test_a_task_needs_all_its_parts(name: str) -> None:
    table = copy.deepcopy(PLAIN)
    del table["tasks"][0][name]
    with pytest.raises(ConfigError, match=rf"`suite.tasks\[0\].{name}` is missing"):
        read_declaration(table)


def test_two_lists_of_classes_are_one_too_many() -> None:
    table = changed("tasks.0.train.classes", ["a"])
    table["tasks"][0]["train"]["classes_file"] = "b"
    with pytest.raises(ConfigError, match=r"train.classes`: expected either this or `classes_file`"):
        read_declaration(table)
