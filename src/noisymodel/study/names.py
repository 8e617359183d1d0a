"""Checks of the names in a configuration; the plan checks the content of files."""

from __future__ import annotations

from .config import StudyConfig
from .config_values import demand_known, unknown_name
from .data import SOURCES, open_source, reported_shifts
from .methods import expanded
from .pretraining.compatibility import ARCHITECTURES, NOISE_KINDS, OBJECTIVES, is_architecture


def check_names(config: StudyConfig) -> None:
    """Check the names of data, objectives, architectures, kinds of noise, methods, tasks and shifts (not of a suite).

    Raises:
        ConfigError: an unknown name; the message has the key and the nearest name.
    """
    for key, known in (("objectives", OBJECTIVES), ("noise_kinds", NOISE_KINDS)):
        for name in getattr(config, key):
            demand_known(key, name, known)
    for name in config.architectures:
        if not is_architecture(name):
            raise unknown_name("architectures", name, ARCHITECTURES)
    for name in config.pretraining.overrides:
        objective, _, architecture = name.partition("/")
        if not (name in OBJECTIVES or is_architecture(architecture if objective in OBJECTIVES else name)):
            raise unknown_name("pretraining.overrides", name, [*OBJECTIVES, *ARCHITECTURES])
    expanded(config.methods)
    demand_known("data", config.data, SOURCES)
    if config.data != "suite" and (config.tasks or config.shifts):
        reported_shifts(config, open_source(config, config.seeds[0]))
