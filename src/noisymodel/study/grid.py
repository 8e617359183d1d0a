"""The cells of a study: every objective with every architecture and every kind of noise that fits it, at every seed."""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

from ..errors import ConfigError
from .config import StudyConfig, unknown_name
from .data import open_source
from .pretraining import ARCHITECTURES, NOISE_KINDS, OBJECTIVES, fits
from .pretraining.kinds import LIBRARIES


class CellName(NamedTuple):
    """What one cell is about; all noise rates are in it."""

    objective: str
    architecture: str
    noise_kind: str
    seed: int

    def __str__(self) -> str:
        return f"{self.objective} {self.architecture}, {self.noise_kind} noise, seed {self.seed}"


def cell_names(config: StudyConfig) -> tuple[CellName, ...]:
    """The cells of a study, all seeds of one group after the other, so that shards share every group.

    Raises:
        ConfigError: a name that there is not, or one that fits none of the others.
    """
    for objective in config.objectives:
        if objective not in OBJECTIVES:
            raise unknown_name("objectives", objective, OBJECTIVES)
    for kind in config.noise_kinds:
        if kind not in NOISE_KINDS:
            raise unknown_name("noise_kinds", kind, NOISE_KINDS)
    for name in config.pretraining.overrides:
        first, _, rest = name.partition("/")
        architecture = rest if first in OBJECTIVES else name
        if architecture and architecture not in ARCHITECTURES and architecture.partition(":")[0] not in LIBRARIES:
            raise unknown_name("pretraining.overrides", name, [*OBJECTIVES, *ARCHITECTURES])
    source = open_source(config, config.seeds[0])
    grid = product(config.objectives, config.architectures, config.noise_kinds)
    groups = [group for group in grid if fits(source.kind, *group)]
    for place, key in enumerate(("objectives", "architectures", "noise_kinds")):
        for name in getattr(config, key):
            if all(group[place] != name for group in groups):
                others = " and ".join(
                    f"`{other}` {', '.join(getattr(config, other))}"
                    for other in ("objectives", "architectures", "noise_kinds")
                    if other != key
                )
                raise ConfigError(
                    f"config key `{key}`: expected names that go together, got {name!r}, which fits nothing of "
                    f"{others} on {source.kind} ({config.data})"
                )
    return tuple(CellName(*group, seed) for group in groups for seed in config.seeds)
