"""The declaration of your own data: the table ``suite`` of a configuration, read into checked, frozen records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, cast

from ....errors import ConfigError
from ...config_values import Least, Positive, build, demand
from .places import expanded

Classes: TypeAlias = tuple[str | int, ...]
LabelMap: TypeAlias = tuple[tuple[str, Classes], ...]
"""Class of the shifted set -> classes of the task, by name or (an integer) by number."""

NotNegative = Annotated[int, Least(0, "at least 0")]


def read_label_map(values: object, key: str) -> LabelMap:
    """``{class of the shifted set: class of the task, its number, or a list of them}``."""
    demand(isinstance(values, Mapping), key, "a table of keys", values)
    found: list[tuple[str, Classes]] = []
    for name, value in cast("Mapping[Any, Any]", values).items():
        targets = cast("Sequence[Any]", value) if isinstance(value, list | tuple) else [value]
        if not targets or any(isinstance(target, bool) or not isinstance(target, str | int) for target in targets):
            raise ConfigError(f"config key `{key}.{name}`: expected a class or a list of classes, got {value!r}")
        found.append((str(name), tuple(targets)))
    return tuple(found)


@dataclass(frozen=True)
class SetTable:
    """One set of labelled pictures, pairs or texts: its place and its format."""

    path: str = ""
    """A file, a folder, or a pattern with ``*`` and ``{a,b}`` or ``{000..099}``; ``hub:owner/name`` for the Hub."""
    format: str = ""
    """The format; empty: guessed from the path. See :data:`~noisymodel.study.data.suite.opening.FORMATS`."""
    root: str = ""
    """Folder that paths within a table or list are relative to; empty: the folder of the table."""
    subset: str = ""
    """Configuration of a Hugging Face data set."""
    split: str = ""
    """Split of a Hugging Face data set, or part of one of the published formats."""
    path_column: str = ""
    label_column: str = ""
    caption_column: str = ""
    text_column: str = ""
    text_pair_column: str = ""
    """Second text of a pair of sentences."""
    file_pattern: str = "{}"
    """For a list: the path of a picture, in which ``{}`` is the first word of the line."""
    label_from: Literal["", "rest", "folder", "stem"] = ""
    """For a list, the source of the label: the ``"rest"`` of the line, the ``"folder"`` of the picture, or the
    ``"stem"`` of its name up to the last underscore."""
    labels: Literal["name", "index"] = "name"
    """``"name"``: labels are names of classes. ``"index"``: labels are numbers, in ``classes`` if given, else in the
    classes of the task."""
    classes: tuple[str, ...] = ()
    """The classes in order; empty: the classes in the data, or the names in alphabetical order."""
    classes_file: str = ""
    """A file with the classes in order, one a line."""
    drop_labels: tuple[str, ...] = ()
    """Rows with these labels are left out, such as ``"-1"`` for «unlabelled»."""
    portion: tuple[float, ...] = ()
    """``[0.0, 0.8]``: this share of each class, in an order that depends only on the names of the rows."""
    ranks: tuple[int, ...] = ()
    """``[0, 30]``: these rows of each class in the same order; a stop of 0 means the end."""
    border: NotNegative = 0
    """Pixels cut from each side of a picture first."""

    def columns(self, there: Sequence[str], usual: Mapping[str, Sequence[str]]) -> dict[str, str]:
        """Role -> column: those declared, and the first usual one that is there; the path or the text, never both."""
        declared = {
            "path": self.path_column,
            "label": self.label_column,
            "caption": self.caption_column,
            "text": self.text_column,
            "text_pair": self.text_pair_column,
        }
        found = {role: name for role, name in declared.items() if name}
        for role, names in usual.items():
            taken = role in found or (role in ("path", "text") and {"path", "text"} & set(found))
            present = [name for name in names if name in there]
            if present and not taken:
                found[role] = present[0]
        return found


@dataclass(frozen=True)
class ShiftTable(SetTable):
    """A shifted test set."""

    name: str = ""
    description: str = ""
    label_map: LabelMap | None = field(default=None, metadata={"read": read_label_map})
    label_map_file: str = ""
    others: Literal["error", "drop"] = "error"
    """Without a label map, classes that the task lacks are an ``"error"``, or their rows are left out (``"drop"``)."""
    answers: Literal["present", "all"] = "present"
    """The possible answers. ``"present"``: classes that the shifted set has; ``"all"``: all classes of the task."""


@dataclass(frozen=True)
class TaskTable:
    """A downstream task."""

    name: str
    train: SetTable
    test: SetTable
    shifts: tuple[ShiftTable, ...] = ()


@dataclass(frozen=True)
class PicturesTable:
    """The preparation of pictures."""

    size: Positive = 32
    """Height and width."""
    channels: int = 3
    fit: Literal["crop", "squash"] = "crop"
    """``"crop"``: the shorter side is resized to ``shorter_side``, the centre cut out; ``"squash"``: no cut."""
    shorter_side: int = 0
    """0: ``size``."""
    keep_megabytes: NotNegative = 512
    """Sets smaller than this after decoding are decoded once; larger sets at every use."""
    threads: Positive = 2
    """The number of decoding threads."""


@dataclass(frozen=True)
class TextsTable:
    """The preparation of texts."""

    tokenizer: str = "words"
    """``"words"``, or the folder of a tokenizer of transformers."""
    length: Positive = 32
    """The number of tokens of a text; longer texts are cut, shorter ones padded with 0."""
    vocabulary: Annotated[int, Least(5, "at least 5")] = 4096
    """At most so many tokens of ``"words"``, the most frequent in pre-training."""


@dataclass(frozen=True)
class SuiteTable:
    """The whole table ``suite``."""

    title: str = "own data"
    description: str = ""
    kind: Literal["pictures", "pairs", "texts"] = "pictures"
    root: str = ""
    """Folder that relative paths start from; empty: the working directory."""
    pictures: PicturesTable = PicturesTable()
    texts: TextsTable = TextsTable()
    pretraining: SetTable = SetTable()
    pretraining_check: SetTable = SetTable()
    tasks: tuple[TaskTable, ...] = ()

    def resolve(self, path: str) -> Path:
        """The absolute form of a path: ``~`` and ``$VARIABLES`` are expanded; relative paths start at ``root``."""
        return (expanded(self.root) / expanded(path)).absolute()

    def sets(self) -> dict[str, SetTable]:
        """Every set by its key in the configuration."""
        found: dict[str, SetTable] = {
            "suite.pretraining": self.pretraining,
            "suite.pretraining_check": self.pretraining_check,
        }
        for place, task in enumerate(self.tasks):
            key = f"suite.tasks[{place}]"
            found |= {f"{key}.train": task.train, f"{key}.test": task.test}
            found |= {f"{key}.shifts[{number}]": shift for number, shift in enumerate(task.shifts)}
        return found


def read_declaration(values: Mapping[str, Any]) -> SuiteTable:
    """The table ``suite`` of a configuration.

    Raises:
        ConfigError: an unknown key, a value of the wrong type or range, or a missing part.

    >>> read_declaration({"pretraining": {"pth": "faces"}})
    Traceback (most recent call last):
        ...
    noisymodel.errors.ConfigError: config key `suite.pretraining.pth` is unknown; did you mean `suite.pretraining.path`?
    """
    suite = build(SuiteTable, values, "suite.")
    _check(suite)
    return suite


def _distinct(names: Sequence[str], key: str) -> None:
    demand(len(set(names)) == len(names) and all(names), key, "tables with a `name` each, all different", list(names))


def _check(suite: SuiteTable) -> None:
    pictures = suite.pictures
    demand(pictures.channels in (1, 3), "suite.pictures.channels", "1 or 3", pictures.channels)
    enough = pictures.shorter_side == 0 or pictures.shorter_side >= pictures.size
    demand(enough, "suite.pictures.shorter_side", "0 or at least `size`", pictures.shorter_side)
    demand(bool(suite.tasks), "suite.tasks", "at least one task", [])
    _distinct([task.name for task in suite.tasks], "suite.tasks")
    for place, task in enumerate(suite.tasks):
        _distinct([shift.name for shift in task.shifts], f"suite.tasks[{place}].shifts")
        demand("/" not in task.name, f"suite.tasks[{place}].name", "a name without `/`", task.name)
    for key, table in suite.sets().items():
        _check_set(table, key)
        if isinstance(table, ShiftTable):
            demand(table.name != "none", f"{key}.name", "another name: `none` is the task's own test set", table.name)
            both = table.label_map is not None and bool(table.label_map_file)
            demand(not both, f"{key}.label_map", "either this or `label_map_file`", "both")


def _check_set(table: SetTable, key: str) -> None:
    if not table.path:
        raise ConfigError(f"config key `{key}.path` is missing")
    demand("{}" in table.file_pattern, f"{key}.file_pattern", "a pattern with `{}`", table.file_pattern)
    demand(len(set(table.classes)) == len(table.classes), f"{key}.classes", "distinct names", list(table.classes))
    low_high = table.portion or (0.0, 1.0)
    ordered = len(low_high) == 2 and 0 <= low_high[0] < low_high[1] <= 1
    demand(ordered, f"{key}.portion", "two ascending numbers from 0 to 1", list(table.portion))
    ranks = table.ranks or (0, 0)
    ordered = len(ranks) == 2 and ranks[0] >= 0 and (ranks[1] == 0 or ranks[0] < ranks[1])
    demand(ordered, f"{key}.ranks", "two ascending integers, or a stop of 0", list(table.ranks))
    demand(not (table.ranks and table.portion), f"{key}.ranks", "either this or `portion`", "both")
    demand(not (table.classes and table.classes_file), f"{key}.classes", "either this or `classes_file`", "both")
