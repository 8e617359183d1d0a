"""Small studies whose networks are there, one for each objective."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from noisymodel.study import StudyConfig
from noisymodel.study.execution import Shard
from noisymodel.study.runner import run_shard
from study.tiny import GLYPHS

_SIZES = {"pretraining_texts": 90, "check_texts": 30, "test_texts": 30, "shift_texts": 20, "topics": 2}
STUDIES: dict[str, dict[str, Any]] = {
    "glyphs": GLYPHS,
    "captions": {
        **GLYPHS,
        "data": "captions",
        "seeds": [1],
        "objectives": ["contrastive"],
        "architectures": ["resnet", "vit"],
        "noise_kinds": ["caption_shuffle"],
        "pretraining": {"epochs": 1, "resnet_widths": [8, 16], "transformer_width": 8, "transformer_depth": 1},
        "methods": ["linear_probe"],
        "tasks": ["fine", "coarse"],
    },
    "texts": {
        **GLYPHS,
        "data": "texts",
        "data_options": _SIZES,
        "seeds": [1],
        "objectives": ["masked_token", "supervised"],
        "architectures": ["transformer"],
        "noise_kinds": ["token_delete", "similarity"],
        "shifts": ["synonyms"],
        "pretraining": {"epochs": 1, "transformer_width": 8, "transformer_depth": 1},
        "methods": ["linear_probe"],
    },
}


@pytest.fixture(scope="session")
def folder_of(tmp_path_factory: pytest.TempPathFactory):
    """A function that computes a study of `STUDIES` once: its configuration and its folder."""
    made: dict[str, tuple[StudyConfig, Path]] = {}

    def compute(name: str) -> tuple[StudyConfig, Path]:
        if name not in made:
            config = StudyConfig.from_mapping(STUDIES[name])
            path = tmp_path_factory.mktemp("study") / name
            assert run_shard(config, path, Shard(0, 1), workers=1) == []
            made[name] = config, path
        return made[name]

    return compute
