"""The plan of a study, before computing: every name is checked, the source is opened, each part has its identity."""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import cached_property
from itertools import product
from typing import Any, NamedTuple

from ..errors import ConfigError, check_extra
from .config import PretrainingConfig, StudyConfig
from .data import Source, chosen_tasks, open_source, reported_shifts
from .identity import LIBRARY_OF, Identity, library_versions, network_record
from .methods import chosen_methods
from .part_cache import PartCache, Values
from .pretraining.compatibility import fits

_EXTRA_OF = {"timm": "timm", "transformers": "hf", "open_clip": "open-clip"}


class CellName(NamedTuple):
    """The settings of one cell; a cell includes all noise rates."""

    objective: str
    architecture: str
    noise_kind: str
    seed: int

    def __str__(self) -> str:
        return f"{self.objective} {self.architecture}, {self.noise_kind} noise, seed {self.seed}"


class Part(NamedTuple):
    """One part of a cell: measures of its networks, of their features on a task, or a method on a task."""

    stage: str
    """``"networks"``, ``"features"`` or ``"tuning"``."""
    task: str = ""
    shots: int = 0
    method: str = ""


NETWORKS = Part("networks")


class Plan:
    """All cells and parts to compute. Made by `plan`; it is sent to other processes with its opened source.

    Args:
        config: the study.
        source: its source at the first seed.

    Raises:
        ConfigError: names that do not fit together, or that the source does not have.
    """

    def __init__(self, config: StudyConfig, source: Source) -> None:
        self.config, self.source = config, source
        self.cells = _cells(config, source)
        """All cells, all seeds of one group after the other, so that shards share every group."""
        self.methods = chosen_methods(config)
        """The methods by name, in the order of tables."""
        self.tasks = chosen_tasks(config, source)
        """The tasks by name, at the first seed."""
        self.shifts = reported_shifts(config, source)
        """Task -> the shifts that are reported."""
        tuned = product(self.tasks, config.shots, self.methods)
        features = (Part("features", task) for task in self.tasks)
        self.parts = (NETWORKS, *features, *(Part("tuning", *what) for what in tuned))
        """The parts of every cell, in the order in which they are computed."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Plan, (self.config, self.source)

    def source_of(self, cell: CellName) -> Source:
        """The source at a cell's seed; files are not opened again."""
        return self.source.reseeded(cell.seed)

    def settings_of(self, cell: CellName) -> PretrainingConfig:
        """The settings of a cell's pre-training, overrides resolved."""
        return self.config.pretraining.resolved(cell.objective, cell.architecture)

    def spoken(self, part: Part) -> str:
        """The name of a part for readers, with shots and task if there are several."""
        if part == NETWORKS:
            return "pretraining"
        name = part.method or part.stage
        several = [f"{part.shots} shots"] * (len(self.config.shots) > 1 and bool(part.method))
        several += [part.task] * (len(self.tasks) > 1)
        return f"{name} ({', '.join(several)})" if several else name

    def data_label(self, task: str = "") -> str:
        """The entry in the column ``data`` of results, with the task if there are several."""
        return f"{self.config.data}/{task}" if task and len(self.tasks) > 1 else self.config.data

    # ---- identities --------------------------------------------------------------------------------------------------

    def pretraining(self, cell: CellName) -> Identity:
        """The identity of a cell's networks."""
        settings = self.settings_of(cell)
        library = LIBRARY_OF.get(cell.architecture.partition(":")[0])
        noise = {"kind": cell.noise_kind, "rates": self.config.noise_rates, "options": dict(settings.noise_options)}
        return Identity(
            "pretraining",
            data=self._data,
            network=self._networks[cell[:2]],
            noise=noise,
            seed=cell.seed,
            libraries=library_versions(*self.source.packages, *([library] if library else [])),
        )

    def identity(self, cell: CellName, part: Part) -> Identity:
        """The identity of a part."""
        root = self.pretraining(cell)
        if part == NETWORKS:
            return replace(root, stage="networks")
        known = replace(root, stage=part.stage, task=self._tasks[part.task])
        if part.stage == "features":
            return known
        method = self.methods[part.method]
        libraries = {**root.libraries, **library_versions(*method.packages)}
        record = {**method.record, "training": asdict(self.config.tuning)}
        return replace(known, shots=part.shots, method=record, libraries=libraries)

    def stored(self, cell: CellName, part: Part, cache: PartCache) -> Values | None:
        """The values of a part, or ``None`` if they are not completely stored."""
        curves = self.config.learning_curves and part.stage == "tuning"
        return cache.load(self.identity(cell, part), curves=curves)

    def missing(self, cell: CellName, cache: PartCache) -> list[Part]:
        """The parts of a cell that are not completely stored."""
        return [part for part in self.parts if self.stored(cell, part, cache) is None]

    @cached_property
    def _data(self) -> dict[str, Any]:
        return {"source": self.config.data, **self.source.input_record()}

    @cached_property
    def _networks(self) -> dict[tuple[str, ...], dict[str, Any]]:
        """The records of networks by objective and architecture; files of architectures are read once."""
        kinds = {cell[:2]: cell for cell in self.cells}
        return {kind: network_record(*kind, self.settings_of(cell)) for kind, cell in kinds.items()}

    @cached_property
    def _tasks(self) -> dict[str, dict[str, Any]]:
        return {name: {"shifts": list(self.shifts[name]), **self.source.task_record(name)} for name in self.tasks}

    def check_packages(self) -> None:
        """Check that the libraries of architectures and methods are installed.

        Raises:
            MissingExtraError: a library is not installed.
        """
        for architecture in self.config.architectures:
            library, colon, _ = architecture.partition(":")
            if colon:
                check_extra(library, extra=_EXTRA_OF[library], purpose=f"pre-training models of {library}")


def plan(config: StudyConfig) -> Plan:
    """Check everything that can be checked before computing, and open the study's source.

    Raises:
        ConfigError: unknown names, names that do not fit together, or faulty data.
        MissingExtraError: a method or the data need a package that is not installed.
    """
    return Plan(config, open_source(config, config.seeds[0]))


def _cells(config: StudyConfig, source: Source) -> tuple[CellName, ...]:
    grid = product(config.objectives, config.architectures, config.noise_kinds)
    groups = [group for group in grid if fits(source.kind, *group)]
    axes = ("objectives", "architectures", "noise_kinds")
    for place, key in enumerate(axes):
        for name in getattr(config, key):
            if all(group[place] != name for group in groups):
                listed = {other: ", ".join(getattr(config, other)) for other in axes if other != key}
                others = " and ".join(f"`{other}` {names}" for other, names in listed.items())
                raise ConfigError(
                    f"config key `{key}`: expected names that go together, got {name!r}, which fits nothing of "
                    f"{others} on {source.kind} ({config.data})"
                )
    return tuple(CellName(*group, seed) for group in groups for seed in config.seeds)
