"""A study small enough to run in a second."""

from __future__ import annotations

from typing import Any

from noisymodel.study import StudyConfig
from noisymodel.study.plan import CellName

GLYPHS: dict[str, Any] = {
    "seeds": [1, 2],
    "noise_rates": [0, 0.3],
    "methods": ["linear_probe", "nmtune_tuned"],
    "shots": 4,
    "shifts": ["small", "salt"],
    "data_options": {"pretraining_images": 300, "check_images": 60, "test_images": 60, "shift_images": 40},
    "pretraining": {"epochs": 2, "widths": [32, 16]},
    "tuning": {"epochs": 2},
}
DIGITS: dict[str, Any] = {
    "data": "digits",
    "seeds": [1, 2],
    "noise_rates": [0, 0.3],
    "methods": ["linear_probe", "mlp"],
    "shots": 4,
    "shifts": ["rotation", "inversion"],
    "data_options": {"copies": 1},
    "pretraining": {"epochs": 1, "widths": [16, 8]},
    "tuning": {"epochs": 2},
}


def glyphs(**changes: Any) -> StudyConfig:
    return StudyConfig.from_mapping(GLYPHS | changes)


def digits(**changes: Any) -> StudyConfig:
    return StudyConfig.from_mapping(DIGITS | changes)


def cell_name(seed: int = 1) -> CellName:
    return CellName("supervised", "mlp", "symmetric", seed)
