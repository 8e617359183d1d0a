"""Studies by name: each is a valid configuration."""

from __future__ import annotations

import pytest

from noisymodel.errors import ConfigError
from noisymodel.study.plan import plan
from noisymodel.study.presets import STUDIES, preset_study, preset_text


@pytest.mark.parametrize("name", STUDIES)
def test_every_preset_is_a_study(name: str) -> None:
    assert plan(preset_study(name)).parts
    assert preset_text(name).startswith("# ")


def test_the_whole_study_has_what_its_name_says() -> None:
    config = preset_study("full")
    groups = {name[:3] for name in plan(config).cells}
    assert {(objective, kind) for objective, _, kind in groups} == {
        ("supervised", "symmetric"),
        ("contrastive", "caption_shuffle"),
    }
    assert {architecture for _, architecture, _ in groups} == {"resnet", "vit"}
    assert {"linear_probe", "nmtune_tuned", "lora", "full_fine_tuning"} < set(config.methods)


def test_unknown_presets_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"`preset`: expected one of 'full', got 'ful'; did you mean 'full'\?"):
        preset_study("ful")
