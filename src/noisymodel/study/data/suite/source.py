"""Your own data as a source of a study."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import cycle, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....errors import ConfigError
from ....files.tables import listed
from ...rows import ShiftNote
from ..source import Examples, Inputs
from .answers import label_map_paths, match_test
from .declaration import SetTable, SuiteTable, read_declaration
from .identity import identity
from .opening import open_set
from .pictures import Floats, LazyPictures
from .presets import check_presets, expand_presets
from .rows import Integers, Rows, Text
from .task import SuiteTask, class_names
from .tokens import Tokenizer, make_tokenizer

_TO_GREY = np.array([0.299, 0.587, 0.114], dtype=np.float32)


@dataclass(frozen=True)
class Suite:
    """A suite that a configuration declares; a :class:`~noisymodel.study.data.source.Source`.

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

    seed: int
    suite: Mapping[str, Any] = field(hash=False)

    def __post_init__(self) -> None:
        check_presets(self.suite)
        kind = self.kind
        for key, rows in self._sets.items():
            lacks = [
                ("texts", kind == "texts" and rows.found.texts is None),
                ("pictures", kind != "texts" and rows.found.pictures is None),
                ("captions", kind == "pairs" and "pretraining" in key and rows.found.captions is None),
                ("labels", kind == "pictures" and "pretraining" in key and rows.found.labels is None),
            ]
            for what, lacking in lacks:
                if lacking:
                    raise ConfigError(f"config key `{key}`: {rows.place} has no {what}, and `suite.kind` is {kind!r}")
        # matched here, so that an error comes before any computing
        if not len(self._check):
            raise ConfigError(f"config key `suite.pretraining_check`: {self._check.place} holds no rows")
        self.check_shots((1,))

    # ---- what is declared --------------------------------------------------------------------------------------------

    @cached_property
    def declared(self) -> SuiteTable:
        """The table, presets expanded, every key checked."""
        return read_declaration(expand_presets(self.suite))

    @property
    def title(self) -> str:
        """A few words."""
        return self.declared.title

    @property
    def kind(self) -> str:
        """``"pictures"``, ``"pairs"`` or ``"texts"``."""
        return self.declared.kind

    @property
    def description(self) -> str:
        """A paragraph for the report."""
        counts = [f"pre-training on {len(self._sets['suite.pretraining']):,} {self.kind}"]
        if self.pretraining_classes:
            counts[0] += f" of {self.pretraining_classes:,} classes"
        for name, task in self.tasks.items():
            shifts = "".join(f", {shift} {len(found.rows):,}" for shift, found in task.matched.items())
            counts.append(
                f"task {name}: {task.classes:,} classes, {len(task.train):,} to choose training samples from, test "
                f"{len(task.in_domain):,}{shifts}"
            )
        return f"{self.declared.description} {'; '.join(counts).capitalize()}.".strip()

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
        made = self.declared.texts if self.kind == "texts" else self.declared.pictures
        how = dataclasses.asdict(made)
        how = {key: value for key, value in how.items() if key not in ("keep_megabytes", "threads", "tokenizer")}
        if self.kind == "pairs":
            how |= {"length": self.declared.texts.length, "vocabulary": self.declared.texts.vocabulary}
        return {"kind": self.kind, "inputs": how, "sets": self._input_identity}

    @cached_property
    def _input_identity(self) -> str:
        declared = self.declared
        folder = declared.resolve(declared.texts.tokenizer)
        spelling = sorted(path for path in folder.glob("*") if path.is_file()) if self._tokenizer_in_folder else []
        return identity([self._sets["suite.pretraining"], self._check], spelling)

    def task_record(self, name: str) -> dict[str, Any]:
        """Everything else that the examples of a task depend on, without the task's name."""
        return {"sets": self._task_identities[name], "shifts": list(self.tasks[name].matched)}

    @cached_property
    def _task_identities(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for name, task in self.tasks.items():
            maps = [path for shift in task.declared.shifts for path in label_map_paths(shift, self.declared)]
            matched = task.matched.values()
            answers = [None if one.answers is None else one.answers.tolist() for one in matched]
            found[name] = identity([task.train, task.in_domain, *(one.rows for one in matched)], maps, answers)
        return found

    def reseeded(self, seed: int) -> Suite:
        """The same suite at another seed: its sets are not opened again."""
        other = copy.copy(self)
        object.__setattr__(other, "seed", seed)
        other.__dict__["_tasks"] = {name: task.reseeded(seed, other.examples) for name, task in self._tasks.items()}
        return other

    # ---- the sets ----------------------------------------------------------------------------------------------------

    @cached_property
    def _sets(self) -> dict[str, Rows]:
        """Every set by its key; one error lists all missing sets."""
        opened: dict[str, Rows] = {}
        wrong: list[str] = []
        known: dict[SetTable, Rows] = {}  # the pre-training set may also be a task's training set
        for key, table in self.declared.sets().items():
            try:
                opened[key] = known[table] if table in known else open_set(table, key, self.declared)
                known[table] = opened[key]
            except ConfigError as error:
                wrong.append(str(error))
        if wrong:
            raise ConfigError("; ".join(wrong))
        return opened

    @property
    def tasks(self) -> Mapping[str, SuiteTask]:
        """The downstream tasks by name."""
        return self._tasks

    @cached_property
    def _tasks(self) -> dict[str, SuiteTask]:
        return {
            task.name: SuiteTask(place, self.declared, self._sets, seed=self.seed, examples=self.examples)
            for place, task in enumerate(self.declared.tasks)
        }

    @property
    def default_tasks(self) -> tuple[str, ...]:
        """All tasks."""
        return tuple(self.tasks)

    @property
    def shifts(self) -> tuple[ShiftNote, ...]:
        """All distribution shifts of all tasks, each name once."""
        notes: dict[str, ShiftNote] = {}
        for task in self.tasks.values():
            for note in task.shifts:
                notes.setdefault(note.name, note)
        return tuple(notes.values())

    @property
    def pretraining_classes(self) -> int:
        """Number of pre-training classes, 0 where there are no labels."""
        return len(self._pretraining_names)

    @cached_property
    def _pretraining_names(self) -> tuple[str, ...]:
        return class_names(self._sets["suite.pretraining"])

    def pretraining(self) -> Examples:
        """The set to pre-train on."""
        return self._captioned(self._sets["suite.pretraining"])

    def pretraining_check(self) -> Examples:
        """The held-out set of the same kind."""
        return self._captioned(self._check)

    @cached_property
    def _check(self) -> Rows:
        rows = self._sets["suite.pretraining_check"]
        names = self._pretraining_names
        return match_test(rows, names, "suite.pretraining_check") if names else rows

    def _captioned(self, rows: Rows) -> Examples:
        examples = self.examples(rows)
        if self.kind != "pairs":
            return examples
        return examples._replace(captions=self._encoded(rows.chosen_captions()))

    # ---- inputs ------------------------------------------------------------------------------------------------------

    @property
    def vocabulary(self) -> int:
        """Token ids are below it; 0 for pictures."""
        return 0 if self.kind == "pictures" else self._tokenizer.vocabulary

    @property
    def _tokenizer_in_folder(self) -> bool:
        return self.kind != "pictures" and self.declared.texts.tokenizer != "words"

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        """The declared tokenizer; a vocabulary of words is counted only in the pre-training texts."""
        rows = self._sets["suite.pretraining"]
        texts = rows.chosen_texts() if self.kind == "texts" else rows.chosen_captions()
        declared = self.declared
        return make_tokenizer(declared.texts, declared.resolve(declared.texts.tokenizer), texts)

    def _encoded(self, texts: list[Text]) -> Integers:
        return self._tokenizer.encode(texts, self.declared.texts.length)

    def examples(self, rows: Rows, answers: Integers | None = None) -> Examples:
        """Inputs and labels of some rows."""
        return Examples(self._inputs(rows), rows.codes, answers=answers)

    def _inputs(self, rows: Rows) -> Inputs:
        if rows.found.pictures is None:
            return self._encoded(rows.chosen_texts())
        table = self.declared.pictures
        lazy = LazyPictures(rows.found.pictures, rows.order, table, border=rows.border)
        if 4 * np.prod(lazy.shape) > table.keep_megabytes * 2**20:
            return lazy
        return lazy[np.arange(len(lazy))]

    def samples(self, count: int) -> Mapping[str, Floats]:
        """``count`` grey pictures of the first test set and of each shift, of different classes; none of texts."""
        if self.kind == "texts":
            return {}
        first = next(iter(self.tasks.values()))
        found = {"clean": self._shown(first.in_domain, count)}
        for task in self.tasks.values():
            for shift, matched in task.matched.items():
                if shift not in found:
                    found[shift] = self._shown(matched.rows, count)
        return found

    def _shown(self, rows: Rows, count: int) -> NDArray[np.float32]:
        firsts = [int(np.flatnonzero(rows.codes == code)[0]) for code in np.unique(rows.codes)[:count]]
        chosen = np.array(list(islice(cycle(firsts), count)), dtype=np.int64)
        assert rows.found.pictures is not None  # noqa: S101 - said when the suite was made
        table = self.declared.pictures
        pictures = LazyPictures(rows.found.pictures, rows.order, table, border=rows.border)[chosen]
        return pictures[:, 0] if table.channels == 1 else np.tensordot(pictures, _TO_GREY, ((1,), (0,)))

    def check_shots(self, shots: tuple[int, ...], tasks: tuple[str, ...] = ()) -> None:
        """Check that every class of every task (or of the named ones) has enough training samples.

        Raises:
            ConfigError: a class has too few; the message names the task and the class.
        """
        for name, task in self.tasks.items():
            if not tasks or name in tasks:
                for number in shots:
                    task.check_shots(number)


def declared_sets(suite: Mapping[str, Any]) -> dict[str, SetTable]:
    """Every set of a table ``suite`` by its key, without looking for any file."""
    return read_declaration(expand_presets(suite)).sets()
