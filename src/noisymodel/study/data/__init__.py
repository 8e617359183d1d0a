"""Sources of study data behind one small interface, :class:`Source`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...errors import ConfigError
from ..config import StudyConfig
from ..config_values import demand_known
from .captions import Captions
from .digits import Digits
from .glyphs import Glyphs
from .source import Examples, Inputs, LazyInputs, Source, Task, as_rows, batches, take
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
    "input_record",
    "open_source",
    "packages_of",
    "reported_shifts",
    "reseeded",
    "take",
    "task_record",
]

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
        suite.check_shots(config.shots, config.tasks)
        return suite
    if 0 in config.shots:
        raise ConfigError(
            "config key `shots`: expected positive integers, got 0, which is all there are of a suite; examples of "
            f"{config.data!r} are drawn as many as are asked for"
        )
    source = SOURCES[config.data]
    known = [item.name for item in dataclasses.fields(source) if item.name != "seed"]  # pyright: ignore[reportArgumentType] # all sources are dataclasses
    for name, value in config.data_options.items():
        demand_known("data_options", name, known)
        if value < 1:
            raise ConfigError(f"config key `data_options.{name}`: expected a positive integer, got {value}")
    return source(seed=seed, **config.data_options)


def chosen_tasks(config: StudyConfig, source: Source) -> dict[str, Task]:
    """The tasks that a configuration names, in the source's order; by default the source's default tasks.

    Raises:
        ConfigError: an unknown task.
    """
    for name in config.tasks:
        demand_known("tasks", name, source.tasks)
    wanted = config.tasks or source.default_tasks
    return {name: task for name, task in source.tasks.items() if name in wanted}


def reseeded(source: Source, seed: int) -> Source:
    """The same source at another seed; open files stay open."""
    if isinstance(source, Suite):
        return source.reseeded(seed)
    return dataclasses.replace(source, seed=seed)  # pyright: ignore[reportArgumentType] # all sources are dataclasses


def input_record(config: StudyConfig, source: Source) -> dict[str, Any]:
    """Everything besides the seed that pre-training data depend on, JSON-ready: options, or the content of files."""
    if isinstance(source, Suite):
        return {"source": "suite", **source.input_record()}
    fields = dataclasses.fields(source)  # pyright: ignore[reportArgumentType] # all sources are dataclasses
    options = {item.name: getattr(source, item.name) for item in fields if item.name != "seed"}
    return {"source": config.data, "version": DRAWN, "options": options}


DRAWN = 1
"""Raise this version when the data that a source draws change."""


def task_record(source: Source, name: str, shifts: Sequence[str]) -> dict[str, Any]:
    """Everything that a task's examples depend on besides the seed and `input_record`, JSON-ready."""
    if isinstance(source, Suite):
        return source.task_record(name)
    return {"task": name, "shifts": list(shifts)}


def packages_of(config: StudyConfig) -> tuple[str, ...]:
    """Packages besides numpy that make or read a study's data."""
    return {"digits": ("scikit-learn",), "suite": ("pillow", "transformers")}.get(config.data, ())


def reported_shifts(config: StudyConfig, source: Source) -> dict[str, tuple[str, ...]]:
    """The shifts that a study reports of each task, in the source's order.

    Raises:
        ConfigError: an unknown shift, or one that was used to choose hyper-parameters.
    """
    tasks = chosen_tasks(config, source)
    notes = [note for task in tasks.values() for note in task.shifts]
    reportable = list(dict.fromkeys(note.name for note in notes if note.role == "report"))
    for name in config.shifts:
        if name in {note.name for note in notes} - set(reportable):
            raise ConfigError(
                f"config key `shifts`: {name!r} was used to choose hyper-parameters and is never reported; "
                f"choose from {', '.join(reportable)}"
            )
        demand_known("shifts", name, reportable)
    return {name: _reported(task, config.shifts) for name, task in tasks.items()}


def _reported(task: Task, wanted: Sequence[str]) -> tuple[str, ...]:
    return tuple(note.name for note in task.shifts if note.role == "report" and (not wanted or note.name in wanted))
