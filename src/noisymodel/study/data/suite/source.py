"""Your own data as a source of a study."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...._checks import check_choice
from ...._random import array_generator
from ....errors import ConfigError
from ....files.tables import listed
from ...rows import ShiftNote
from ..source import Examples, Inputs
from .answers import Matched, label_map_paths, match_shift, match_test
from .declaration import SetTable, SuiteTable, read_declaration
from .opening import open_set
from .pictures import TO_GREY, Floats, LazyPictures
from .presets import check_presets, expand_presets
from .rows import Integers, Rows, Text, identity
from .tokens import PretrainedTokenizer, WordTokenizer

_SHOTS = 0  # the only stream of random numbers that a seed is split into


class Suite:
    """A suite that a configuration declares; a :data:`~noisymodel.study.data.Source`.

    Everything that needs no decoding is checked at construction: files and folders exist, labels are classes, label
    maps fit. The seed only chooses the training samples of each task; the pre-training and test sets are the same for
    all seeds.

    Args:
        seed: the seed of the repetition.
        suite: the table ``suite`` of a configuration.

    Raises:
        ConfigError: a wrong key, or faulty data; the message has the key, and the file or class.
        MissingDataError: files of a preset are missing; the message lists them, their source and their layout.
        MissingExtraError: a format needs a package that is not installed.
    """

    packages = ("pillow", "transformers")

    def __init__(self, seed: int, suite: Mapping[str, Any]) -> None:
        check_presets(suite)
        self._declared = read_declaration(expand_presets(suite))
        self.title, self.kind = self._declared.title, self._declared.kind
        sets = _opened(self._declared)
        _check_contents(self._declared, sets)
        self._pretraining = sets[self._declared.pretraining]
        self._check = sets[self._declared.pretraining_check]
        names = class_names(self._pretraining)
        self.pretraining_classes = len(names)
        if names:
            self._check = match_test(self._check, names, "suite.pretraining_check")
        self.tasks = {
            task.name: SuiteTask(place, self._declared, sets, seed=seed, examples=self.examples)
            for place, task in enumerate(self._declared.tasks)
        }
        self.default_tasks = tuple(self.tasks)
        notes: dict[str, ShiftNote] = {}
        for task in self.tasks.values():
            for note in task.shifts:
                notes.setdefault(note.name, note)
        self.shifts = tuple(notes.values())
        self.check_shots(1)

    @property
    def description(self) -> str:
        """A paragraph for the report."""
        counts = [f"pre-training on {len(self._pretraining):,} {self.kind}"]
        if self.pretraining_classes:
            counts[0] += f" of {self.pretraining_classes:,} classes"
        for name, task in self.tasks.items():
            shifts = "".join(f", {shift} {len(found.rows):,}" for shift, found in task.matched.items())
            counts.append(
                f"task {name}: {task.classes:,} classes, {len(task.train):,} to choose training samples from, test "
                f"{len(task.in_domain):,}{shifts}"
            )
        return f"{self._declared.description} {'; '.join(counts).capitalize()}.".strip()

    @property
    def remarks(self) -> tuple[str, ...]:
        """Remarks on these data that the report must contain."""
        found = [
            "All seeds share their pre-training and test sets, so that intervals do not cover the choice of these data."
        ]
        for name, task in self.tasks.items():
            shared = task.train.files() & task.in_domain.files()
            if shared:
                found.append(f"{len(shared):,} of the {len(task.in_domain):,} test pictures of {name} are trained on.")
            for shift, matched in task.matched.items():
                if matched.dropped:
                    found.append(
                        f"{matched.dropped:,} of {matched.dropped + len(matched.rows):,} rows of {name} under {shift} "
                        f"are left out: the task lacks their classes {listed(map(repr, matched.lost), 4)}."
                    )
                if matched.answers is not None and (matched.answers < 0).any():
                    valid = int((matched.answers >= 0).sum())
                    found.append(f"Under {shift} only {valid:,} of the {task.classes:,} classes of {name} are answers.")
        return tuple(found)

    def input_record(self) -> dict[str, Any]:
        """Everything that pre-training inputs depend on: the sets, and their preparation."""
        texts, pictures = self._declared.texts, self._declared.pictures
        how = dataclasses.asdict(texts if self.kind == "texts" else pictures)
        how = {key: value for key, value in how.items() if key not in ("keep_megabytes", "threads", "tokenizer")}
        if self.kind == "pairs":
            how |= {"length": texts.length, "vocabulary": texts.vocabulary}
        return {"kind": self.kind, "inputs": how, "sets": self._input_identity}

    @cached_property
    def _input_identity(self) -> str:
        spelling: list[Path] = []
        if self.kind != "pictures" and self._declared.texts.tokenizer != "words":
            folder = self._declared.resolve(self._declared.texts.tokenizer)
            spelling = sorted(path for path in folder.glob("*") if path.is_file())
        return identity([self._pretraining, self._check], spelling)

    def task_record(self, name: str) -> dict[str, Any]:
        """Everything else that the examples of a task depend on, without the task's name."""
        return self.tasks[name].record

    def reseeded(self, seed: int) -> Suite:
        """The same suite at another seed: its sets are not opened again."""
        other = copy.copy(self)
        other.tasks = {name: task.reseeded(seed) for name, task in self.tasks.items()}
        return other

    def check_shots(self, shots: int, tasks: tuple[str, ...] = ()) -> None:
        """Check that every class of every task (or of the named ones) has enough training samples.

        Raises:
            ConfigError: a class has too few; the message names the task and the class.
        """
        for name, task in self.tasks.items():
            if not tasks or name in tasks:
                task.check_shots(shots)

    # ---- examples ----------------------------------------------------------------------------------------------------

    def pretraining(self) -> Examples:
        """The set to pre-train on."""
        return self._captioned(self._pretraining)

    def pretraining_check(self) -> Examples:
        """The held-out set of the same kind."""
        return self._captioned(self._check)

    def _captioned(self, rows: Rows) -> Examples:
        captions = self._encoded(rows.chosen_captions()) if self.kind == "pairs" else None
        return self.examples(rows)._replace(captions=captions)

    @property
    def vocabulary(self) -> int:
        """Token ids are below it; 0 for pictures."""
        return 0 if self.kind == "pictures" else self._tokenizer.vocabulary

    @cached_property
    def _tokenizer(self) -> WordTokenizer | PretrainedTokenizer:
        """The declared tokenizer; a vocabulary of words is counted only in the pre-training texts."""
        rows, declared = self._pretraining, self._declared
        texts = rows.chosen_texts() if self.kind == "texts" else rows.chosen_captions()
        if declared.texts.tokenizer == "words":
            return WordTokenizer(texts, declared.texts.vocabulary)
        return PretrainedTokenizer(declared.resolve(declared.texts.tokenizer))

    def _encoded(self, texts: list[Text]) -> Integers:
        return self._tokenizer.encode(texts, self._declared.texts.length)

    def examples(self, rows: Rows, answers: Integers | None = None) -> Examples:
        """Inputs and labels of some rows."""
        return Examples(self._inputs(rows), rows.codes, answers=answers)

    def _inputs(self, rows: Rows) -> Inputs:
        if rows.found.pictures is None:
            return self._encoded(rows.chosen_texts())
        lazy = LazyPictures(rows.found.pictures, rows.order, self._declared.pictures, border=rows.border)
        if 4 * np.prod(lazy.shape) > self._declared.pictures.keep_megabytes * 2**20:
            return lazy
        return lazy[np.arange(len(lazy))]

    def samples(self, count: int) -> Mapping[str, Floats]:
        """``count`` grey pictures of the first test set and of each shift, of different classes; none of texts."""
        if self.kind == "texts":
            return {}
        found = {"clean": self._shown(self.tasks[self.default_tasks[0]].in_domain, count)}
        for task in self.tasks.values():
            for shift, matched in task.matched.items():
                if shift not in found:
                    found[shift] = self._shown(matched.rows, count)
        return found

    def _shown(self, rows: Rows, count: int) -> NDArray[np.float32]:
        firsts = np.unique(rows.codes, return_index=True)[1][:count]
        pictures = self._inputs(rows.take(np.resize(firsts, count)))[np.arange(count)]
        return pictures[:, 0] if pictures.shape[1] == 1 else np.tensordot(pictures, TO_GREY, ((1,), (0,)))


def _opened(declared: SuiteTable) -> dict[SetTable, Rows]:
    """Every set by its declaration; one error lists all missing sets."""
    opened: dict[SetTable, Rows] = {}
    wrong: list[str] = []
    for key, table in declared.sets().items():
        try:
            if table not in opened:  # the pre-training set may also be a task's training set
                opened[table] = open_set(table, key, declared)
        except ConfigError as error:
            wrong.append(str(error))
    if wrong:
        raise ConfigError("; ".join(wrong))
    return opened


def _check_contents(declared: SuiteTable, sets: Mapping[SetTable, Rows]) -> None:
    kind = declared.kind
    needed = ["texts"] if kind == "texts" else ["pictures"]
    further = {"pairs": ["captions"], "pictures": ["labels"]}.get(kind, [])
    for key, table in declared.sets().items():
        for what in needed + further * ("pretraining" in key):
            if getattr(sets[table].found, what) is None:
                place = sets[table].place
                raise ConfigError(f"config key `{key}`: {place} has no {what}, and `suite.kind` is {kind!r}")


# ---- tasks -----------------------------------------------------------------------------------------------------------


class SuiteTask:
    """One task of a suite; a :class:`~noisymodel.study.data.source.Task`.

    Args:
        place: its number among the tasks.
        suite: the suite of the task.
        sets: all sets of the suite by their declarations.
        seed: of the training samples.
        examples: makes inputs and labels of rows, with answers.

    Raises:
        ConfigError: no labels, or labels that do not fit those of the training set.
    """

    def __init__(
        self,
        place: int,
        suite: SuiteTable,
        sets: Mapping[SetTable, Rows],
        *,
        seed: int,
        examples: Callable[[Rows, Integers | None], Examples],
    ) -> None:
        key, declared = f"suite.tasks[{place}]", suite.tasks[place]
        self.name = declared.name
        self.seed, self._examples = seed, examples
        self.train = sets[declared.train]
        self.names = class_names(self.train)
        """The classes, in the order of the training set."""
        if not self.names:
            raise ConfigError(f"config key `{key}.train`: {self.train.place} has no labels")
        self.in_domain = match_test(sets[declared.test], self.names, f"{key}.test")
        self.matched: dict[str, Matched] = {
            shift.name: match_shift(sets[shift], self.names, shift, f"{key}.shifts[{number}]", suite)
            for number, shift in enumerate(declared.shifts)
        }
        self.classes = len(self.names)
        self.shifts = tuple(ShiftNote(one.name, one.description or one.name, "report") for one in declared.shifts)
        maps = [path for shift in declared.shifts for path in label_map_paths(shift, suite)]
        found = self.matched.values()
        answers = [None if one.answers is None else one.answers.tolist() for one in found]
        own = identity([self.train, self.in_domain, *(one.rows for one in found)], maps, answers)
        self.record = {"sets": own, "shifts": list(self.matched)}
        """Everything besides the pre-training data that its examples depend on, JSON-ready."""

    def reseeded(self, seed: int) -> SuiteTask:
        """The same task with other training samples."""
        other = copy.copy(self)
        other.seed = seed
        return other

    def training(self, shots: int) -> Examples:
        """``shots`` samples of each class, drawn from the seed; 0 for all. Larger sets contain the smaller ones.

        Raises:
            ConfigError: a class has too few samples.
        """
        if not shots:
            return self._examples(self.train, None)
        self.check_shots(shots)
        chosen: list[int] = []
        for code in range(self.classes):
            members = np.flatnonzero(self.train.codes == code)
            chosen += array_generator(self.seed, _SHOTS, code).permutation(members)[:shots].tolist()
        return self._examples(self.train.take(np.sort(chosen)), None)

    def check_shots(self, shots: int) -> None:
        """Check that every class has enough training samples.

        Raises:
            ConfigError: a class has too few; the message names the task and the class.
        """
        counts = np.bincount(self.train.codes, minlength=self.classes)
        few = np.flatnonzero(counts < shots)
        if len(few):
            others = f" and {len(few) - 1} classes more" if len(few) > 1 else ""
            name = self.names[few[0]]
            raise ConfigError(
                f"config key `shots`: task {self.name!r} has {counts[few[0]]} training samples of class "
                f"{name!r}{others}, expected at least {shots}"
            )

    def test(self) -> Examples:
        """The in-domain test set."""
        return self._examples(self.in_domain, None)

    def shifted(self, shift: str) -> Examples:
        """A shifted test set."""
        check_choice(shift, "shift", self.matched)
        matched = self.matched[shift]
        return self._examples(matched.rows, matched.answers)


def class_names(rows: Rows) -> tuple[str, ...]:
    """The classes of a training set; numbers without names are their own names."""
    if rows.found.labels is None:
        return ()
    if rows.classes is not None:
        return rows.classes
    return tuple(map(str, range(int(rows.codes.max()) + 1)))
