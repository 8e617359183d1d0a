"""The right answers of a task on a test set with other, fewer or coarser classes."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ....errors import ConfigError
from ....files import open_table, read_json
from ....files.tables import listed
from .declaration import LabelMap, ShiftTable, SuiteTable, read_label_map
from .rows import Integers, Rows


class Matched(NamedTuple):
    """A test set matched with its task."""

    rows: Rows
    answers: Integers | None
    """``(K,)``: class of the task -> class of the test set, −1 for none; None: the classes are the task's."""
    dropped: int
    """The number of rows left out because the task lacks their class."""
    lost: tuple[str, ...]
    """The classes of the rows left out."""


def match_test(rows: Rows, classes: tuple[str, ...], key: str) -> Rows:
    """Match the task's own test set by the names of classes, which must all be among the task's.

    Raises:
        ConfigError: a class that the task lacks, or an index outside its classes.
    """
    own = _own_classes(rows, classes, key)
    numbers = {name: number for number, name in enumerate(classes)}
    unknown = sorted({own[code] for code in np.unique(rows.codes)} - set(numbers))
    if unknown:
        raise ConfigError(
            f"config key `{key}`: {rows.place} has {len(unknown)} classes that the training set lacks: "
            f"{_with_nearest(unknown, classes)}"
        )
    return rows.recoded(np.array([numbers.get(name, -1) for name in own])[rows.codes], classes)


def match_shift(rows: Rows, classes: tuple[str, ...], shift: ShiftTable, key: str, suite: SuiteTable) -> Matched:
    """Match a shifted test set by its label map or, without one, by the names of classes.

    Raises:
        ConfigError: names in the map that are not classes, classes without a match, or ambiguous answers.
    """
    own = _own_classes(rows, classes, key)
    present = {own[code] for code in np.unique(rows.codes)}
    label_map = _label_map(shift, key, suite)
    if label_map is None:
        relation = {name: (number,) for number, name in enumerate(classes)}
    else:
        relation = _related(label_map, own, classes, f"{key}.label_map")
    lost = sorted(present - set(relation))
    relation = {name: targets for name, targets in relation.items() if name in present}
    if label_map is None and lost and (shift.others == "error" or not relation):
        raise ConfigError(
            f"config key `{key}`: {rows.place} has {len(lost)} classes that the task lacks: "
            f'{_with_nearest(lost, classes)}; a `label_map` says what they are, `others = "drop"` leaves them out'
        )
    if not relation:
        raise ConfigError(f"config key `{key}.label_map`: it fits none of the classes {listed(map(repr, lost))}")
    groups = _groups(relation, f"{key}.label_map")
    codes = np.array([groups.index(relation[name]) if name in relation else -1 for name in own])[rows.codes]
    kept = np.flatnonzero(codes >= 0)
    rows = rows.take(kept).recoded(codes[kept], tuple(" or ".join(classes[one] for one in group) for group in groups))
    dropped = len(codes) - len(kept)
    return Matched(*_as_task(rows, groups, classes, shift.answers), dropped, tuple(lost))


def _as_task(
    rows: Rows, groups: list[tuple[int, ...]], classes: tuple[str, ...], answers: str
) -> tuple[Rows, Integers | None]:
    """Use the task's own class numbers, if that is equivalent."""
    single = all(len(group) == 1 for group in groups)
    if single and (len(groups) == len(classes) or answers == "all"):
        return rows.recoded(np.array([group[0] for group in groups])[rows.codes], classes), None
    found = np.full(len(classes), len(groups) if answers == "all" else -1, dtype=np.int64)
    for number, group in enumerate(groups):
        found[list(group)] = number
    return rows, found


def _groups(relation: dict[str, tuple[int, ...]], key: str) -> list[tuple[int, ...]]:
    groups = sorted(set(relation.values()))
    taken: dict[int, tuple[int, ...]] = {}
    for group in groups:
        for one in group:
            if one in taken:
                both = sorted(name for name, targets in relation.items() if targets in (group, taken[one]))
                raise ConfigError(
                    f"config key `{key}`: {listed(map(repr, both))} share some of their classes but not all, so an "
                    f"answer would not say which is meant"
                )
            taken[one] = group
    return groups


def _own_classes(rows: Rows, classes: tuple[str, ...], key: str) -> tuple[str, ...]:
    """The names of the classes behind the codes; numbers without names are those of the task's classes."""
    if rows.classes is not None:
        return rows.classes
    if rows.found.labels is None:
        raise ConfigError(f"config key `{key}`: {rows.place} has no labels")
    largest = int(rows.codes.max())
    if largest >= len(classes):
        raise ConfigError(
            f"config key `{key}`: {rows.place} has label {largest}, but the task has {len(classes)} classes; `classes` "
            "or `classes_file` gives numbers their names"
        )
    return classes


# ---- label maps ------------------------------------------------------------------------------------------------------


def _label_map(shift: ShiftTable, key: str, suite: SuiteTable) -> LabelMap | None:
    if not shift.label_map_file:
        return shift.label_map
    own = f"{key}.label_map_file"
    path = suite.resolve(shift.label_map_file)
    try:
        if path.is_dir():
            return read_objectnet_mappings(path)
        if path.suffix == ".json":
            return read_label_map(read_json(path), own)
        if path.suffix == ".csv":
            found: dict[str, list[str]] = {}
            for _, (name, target) in open_table(path).values("shifted", "task"):
                found.setdefault(name, []).append(target)
            return read_label_map(found, own)
    except ConfigError:
        raise
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"config key `{own}`: {path} cannot be read as a label map: {error}") from None
    raise ConfigError(
        f"config key `{own}`: expected a .json or .csv file, or ObjectNet's folder of mappings, "
        f"got {shift.label_map_file!r}"
    )


def label_map_paths(shift: ShiftTable, suite: SuiteTable) -> tuple[Path, ...]:
    """The files of a shift's label map."""
    if not shift.label_map_file:
        return ()
    path = suite.resolve(shift.label_map_file)
    return tuple(path / name for name in _OBJECTNET) if path.is_dir() else (path,)


_OBJECTNET = (
    "folder_to_objectnet_label.json",
    "objectnet_to_imagenet_1k.json",
    "imagenet_to_label_2012_v2",
    "pytorch_to_imagenet_2012_id.json",
)


def read_objectnet_mappings(folder: Path) -> LabelMap:
    """ObjectNet's own four files: folder -> numbers of ImageNet's classes, in the order of their synsets."""
    folders, meanings, _, positions = (read_json(folder / name) if "." in name else {} for name in _OBJECTNET)
    names = (folder / _OBJECTNET[2]).read_text(encoding="utf-8").splitlines()
    by_position = {int(position): int(number) for number, position in positions.items()}
    numbers = {name.strip(): by_position[place] for place, name in enumerate(names) if name.strip()}
    known = ((own, meanings[label].split("; ")) for own, label in folders.items() if label in meanings)
    return tuple((own, tuple(numbers[name] for name in names)) for own, names in known)


def _related(
    label_map: LabelMap, own: tuple[str, ...], classes: tuple[str, ...], key: str
) -> dict[str, tuple[int, ...]]:
    strangers = sorted({name for name, _ in label_map} - set(own))
    if strangers:
        raise ConfigError(
            f"config key `{key}`: {len(strangers)} names are no classes of the shifted set: "
            f"{_with_nearest(strangers, own)}"
        )
    numbers = {name: number for number, name in enumerate(classes)}
    found: dict[str, tuple[int, ...]] = {}
    unknown: list[str] = []
    for name, targets in label_map:
        places = [_place(target, numbers) for target in targets]
        unknown += [str(target) for target, place in zip(targets, places, strict=True) if place is None]
        found[name] = tuple(sorted({place for place in places if place is not None}))
    if unknown:
        raise ConfigError(
            f"config key `{key}`: {len(unknown)} names are no classes of the task: {_with_nearest(unknown, classes)}"
        )
    return found


def _place(target: str | int, numbers: dict[str, int]) -> int | None:
    """The number of a class, given by name or, if no class has that name, by number."""
    if isinstance(target, str) and target in numbers:
        return numbers[target]
    number = int(target) if isinstance(target, int) or target.isdigit() else -1
    return number if 0 <= number < len(numbers) else None


def _with_nearest(names: Sequence[str], known: Sequence[str]) -> str:
    near = difflib.get_close_matches(names[0], known, 1)
    return listed(map(repr, names)) + (f" (did you mean {near[0]!r} for the first?)" if near else "")
