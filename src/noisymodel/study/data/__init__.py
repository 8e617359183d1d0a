"""Sources of study data with the same members, see :data:`Source`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import signature
from typing import TypeAlias

from ...errors import ConfigError
from ..config import StudyConfig
from ..config_values import demand, demand_known
from .captions import Captions
from .digits import Digits
from .glyphs import Glyphs
from .source import Examples, Inputs, LazyInputs, Task, as_rows, batches, take
from .suite import Suite
from .texts import Texts

__all__ = [
    "SOURCES",
    "Captions",
    "Digits",
    "Examples",
    "Glyphs",
    "Inputs",
    "LazyInputs",
    "Source",
    "Suite",
    "Task",
    "Texts",
    "as_rows",
    "batches",
    "chosen_tasks",
    "open_source",
    "reported_shifts",
    "take",
]

Source: TypeAlias = Glyphs | Digits | Texts | Suite
"""A source at one seed: its data are a pure function of the source's settings and the seed.

Pre-training and downstream labels differ: the network learns ``pretraining_classes`` coarse classes, whose labels the
study corrupts; the downstream tasks have other classes. All sources have

- ``kind``: ``"pictures"``, ``"pairs"`` (pictures with captions) or ``"texts"``;
- ``vocabulary``: the number of token ids; 0 without texts;
- ``title``, ``description`` and ``remarks`` (known limits) for the report;
- ``tasks``: the downstream tasks by name (:class:`Task`); ``default_tasks``: those of a study that names none;
  ``shifts``: all distribution shifts of all tasks, each name once;
- ``pretraining()``: the examples with clean labels in ``range(pretraining_classes)``; ``pretraining_check()``: fresh
  ones, to evaluate a network on its own pre-training task;
- ``samples(count)``: pictures of the same objects, clean (key ``"clean"``) and under each shift; empty for texts;
- ``reseeded(seed)``: the same source at another seed; open files stay open;
- ``input_record()``: everything besides the seed that pre-training data depend on, JSON-ready: options, or the content
  of files; ``task_record(name)``: everything else that a task's examples depend on;
- ``packages``: those besides numpy that make or read the data.
"""

SOURCES: Mapping[str, Callable[..., Source]] = {
    "glyphs": Glyphs,
    "digits": Digits,
    "captions": Captions,
    "texts": Texts,
    "suite": Suite,
}
"""Name in a configuration -> class; called with ``seed`` and the configuration's ``data_options``, or its ``suite``."""


def open_source(config: StudyConfig, seed: int) -> Source:
    """The source of a configuration at one seed.

    Raises:
        ConfigError: an option that is unknown or out of range, or faulty files.
    """
    if config.data == "suite":
        if config.data_options:
            raise ConfigError('config key `data_options`: expected none with `data = "suite"`')
        suite = Suite(seed=seed, suite=config.suite)
        suite.check_shots(max(config.shots), config.tasks)
        return suite
    if 0 in config.shots:
        raise ConfigError(
            "config key `shots`: expected positive integers, got 0, which is all there are of a suite; examples of "
            f"{config.data!r} are drawn as many as are asked for"
        )
    known = [name for name in signature(SOURCES[config.data]).parameters if name != "seed"]
    for name, value in config.data_options.items():
        demand_known("data_options", name, known)
        demand(value > 0, f"data_options.{name}", "a positive integer", value)
    return SOURCES[config.data](seed=seed, **config.data_options)


def chosen_tasks(config: StudyConfig, source: Source) -> dict[str, Task]:
    """The tasks that a configuration names, in the source's order; by default the source's default tasks.

    Raises:
        ConfigError: an unknown task.
    """
    for name in config.tasks:
        demand_known("tasks", name, source.tasks)
    wanted = config.tasks or source.default_tasks
    return {name: task for name, task in source.tasks.items() if name in wanted}


def reported_shifts(config: StudyConfig, source: Source) -> dict[str, tuple[str, ...]]:
    """The shifts that a study reports of each task, in the source's order.

    Raises:
        ConfigError: an unknown shift, or one that was used to choose hyper-parameters.
    """
    tasks = chosen_tasks(config, source)
    roles = {note.name: note.role for task in tasks.values() for note in task.shifts}
    reportable = [name for name, role in roles.items() if role == "report"]
    for name in config.shifts:
        if roles.get(name, "report") != "report":
            raise ConfigError(
                f"config key `shifts`: {name!r} was used to choose hyper-parameters and is never reported; "
                f"choose from {', '.join(reportable)}"
            )
        demand_known("shifts", name, reportable)
    wanted = set(config.shifts or reportable) & set(reportable)
    return {key: tuple(note.name for note in task.shifts if note.name in wanted) for key, task in tasks.items()}
