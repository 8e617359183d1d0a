"""Whole studies by name: configurations that come with the library."""

from __future__ import annotations

import tomllib
from importlib.resources import files

from ..config import StudyConfig
from ..config_values import demand_known

STUDIES = ("full",)


def preset_study(name: str) -> StudyConfig:
    """The configuration of a preset.

    Raises:
        ConfigError: there is no such preset.

    >>> preset_study("full").objectives
    ('supervised', 'contrastive')
    """
    return StudyConfig.from_mapping(tomllib.loads(preset_text(name)))


def preset_text(name: str) -> str:
    """The preset as TOML, with the comments that say what it is.

    Raises:
        ConfigError: there is no such preset.
    """
    demand_known("preset", name, STUDIES)
    return files(__name__).joinpath(f"{name}.toml").read_text(encoding="utf-8")
