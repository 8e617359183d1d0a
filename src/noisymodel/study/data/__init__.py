"""Sources of study data behind one small interface, :class:`Source`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from ...errors import ConfigError
from ..config import StudyConfig, unknown_name
from .digits import Digits
from .glyphs import Glyphs
from .source import Pictures, Source

__all__ = ["SOURCES", "Digits", "Glyphs", "Pictures", "Source", "open_source", "reported_shifts"]

SOURCES: Mapping[str, Callable[..., Source]] = {"glyphs": Glyphs, "digits": Digits}
"""Name in a configuration -> class; called with ``seed`` and the configuration's ``data_options``."""


def open_source(config: StudyConfig, seed: int) -> Source:
    """The source of a configuration at one seed.

    Raises:
        ConfigError: a source or an option that there is not, or an option out of range.
    """
    if config.data not in SOURCES:
        raise unknown_name("data", config.data, list(SOURCES))
    source = SOURCES[config.data]
    known = [item.name for item in dataclasses.fields(source) if item.name != "seed"]  # pyright: ignore[reportArgumentType] # all sources are dataclasses
    for name, value in config.data_options.items():
        if name not in known:
            raise unknown_name("data_options", name, known)
        if value < 1:
            raise ConfigError(f"config key `data_options.{name}`: expected a positive integer, got {value}")
    return source(seed=seed, **config.data_options)


def reported_shifts(config: StudyConfig) -> tuple[str, ...]:
    """The shifts that a study reports, in the source's order.

    Raises:
        ConfigError: a shift that there is not, or one that was used to choose hyper-parameters.
    """
    notes = open_source(config, config.seeds[0]).shifts
    reportable = [note.name for note in notes if note.role == "report"]
    for name in config.shifts:
        if name in {note.name for note in notes} - set(reportable):
            raise ConfigError(
                f"config key `shifts`: {name!r} was used to choose hyper-parameters and is never reported; "
                f"choose from {', '.join(reportable)}"
            )
        if name not in reportable:
            raise unknown_name("shifts", name, reportable)
    return tuple(name for name in reportable if name in config.shifts or not config.shifts)
