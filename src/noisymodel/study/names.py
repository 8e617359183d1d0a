"""Checks of the names in a configuration; the plan checks the content of files."""

from __future__ import annotations

from .config import StudyConfig
from .config_values import demand_known, unknown_name
from .data import SOURCES, open_source, reported_shifts
from .methods import expanded
from .pretraining.compatibility import ARCHITECTURES, LIBRARIES, NOISE_KINDS, OBJECTIVES


def check_names(config: StudyConfig) -> None:
    """Check the names of data, objectives, architectures, kinds of noise, methods, tasks and shifts (not of a suite).

    Raises:
        ConfigError: an unknown name; the message has the key and the nearest name.
    """
    for key, known in (("objectives", OBJECTIVES), ("noise_kinds", NOISE_KINDS)):
        for name in getattr(config, key):
            demand_known(key, name, known)
    for name in config.architectures:
        _check_architecture("architectures", name, name)
    for name in config.pretraining.overrides:
        first, _, rest = name.partition("/")
        _check_architecture("pretraining.overrides", name, rest if first in OBJECTIVES else name)
    expanded(config.methods)
    demand_known("data", config.data, SOURCES)
    if config.data != "suite" and (config.tasks or config.shifts):
        reported_shifts(config, open_source(config, config.seeds[0]))


def _check_architecture(key: str, name: str, architecture: str) -> None:
    library = architecture.partition(":")[0]
    if architecture and architecture not in ARCHITECTURES and library not in LIBRARIES:
        raise unknown_name(key, name, ARCHITECTURES if key == "architectures" else [*OBJECTIVES, *ARCHITECTURES])
