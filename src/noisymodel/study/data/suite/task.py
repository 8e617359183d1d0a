"""One downstream task of a suite: few-shot training sets, the test set, and the matched shifted test sets."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from ...._checks import check_choice
from ...._random import array_generator
from ....errors import ConfigError
from ...rows import ShiftNote
from ..source import Examples
from .answers import Matched, label_map_paths, match_shift, match_test
from .declaration import SuiteTable
from .identity import identity
from .rows import Integers, Rows

_SHOTS = 0  # the only stream of random numbers that a seed is split into


class SuiteTask:
    """One task of a suite; a :class:`~noisymodel.study.data.source.Task`.

    Args:
        place: its number among the tasks.
        suite: the suite of the task.
        sets: all sets of the suite by their keys.
        seed: of the training samples.
        examples: makes inputs and labels of rows, with answers.

    Raises:
        ConfigError: no labels, or labels that do not fit those of the training set.
    """

    def __init__(
        self,
        place: int,
        suite: SuiteTable,
        sets: Mapping[str, Rows],
        *,
        seed: int,
        examples: Callable[[Rows, Integers | None], Examples],
    ) -> None:
        key, declared = f"suite.tasks[{place}]", suite.tasks[place]
        self.name = declared.name
        self.seed, self._examples = seed, examples
        self.train = sets[f"{key}.train"]
        self.names = class_names(self.train)
        """The classes, in the order of the training set."""
        if not self.names:
            raise ConfigError(f"config key `{key}.train`: {self.train.place} has no labels")
        self.in_domain = match_test(sets[f"{key}.test"], self.names, f"{key}.test")
        self.matched: dict[str, Matched] = {
            shift.name: match_shift(
                sets[f"{key}.shifts[{number}]"], self.names, shift, f"{key}.shifts[{number}]", suite
            )
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
        draw = partial(array_generator, self.seed, _SHOTS)
        chosen = [
            draw(code).permutation(np.flatnonzero(self.train.codes == code))[:shots] for code in range(self.classes)
        ]
        return self._examples(self.train.take(np.sort(np.concatenate(chosen))), None)

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
