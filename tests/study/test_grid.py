"""The cells of a study: which there are, and names that go with nothing."""

from __future__ import annotations

import pytest

from noisymodel.errors import ConfigError
from noisymodel.study import PretrainingConfig, StudyConfig
from noisymodel.study.grid import CellName, cell_names


def test_the_default_study_has_a_cell_per_seed() -> None:
    names = cell_names(StudyConfig())
    assert names == tuple(CellName("supervised", "mlp", "symmetric", seed) for seed in range(7000, 7008))
    assert str(names[0]) == "supervised mlp, symmetric noise, seed 7000"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"objectives": ["supervise"]}, "`objectives`: expected one of 'supervised'.*did you mean 'supervised'"),
        ({"noise_kinds": ["pair"]}, "`noise_kinds`: expected one of 'symmetric'"),
        ({"architectures": ["mlp", "mpl"]}, "`architectures`: .*got 'mpl'"),
    ],
)
def test_names_that_go_with_nothing_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        cell_names(StudyConfig.from_mapping(values))


def test_overrides_of_names_that_there_are_not() -> None:
    for name in ("resnett", "contrastive/vitt"):
        config = StudyConfig(pretraining=PretrainingConfig(overrides={name: {"epochs": 3}}))
        with pytest.raises(ConfigError, match=rf"`pretraining\.overrides`: expected one of .*, got '{name}'"):
            cell_names(config)
    for name in ("vit", "contrastive", "contrastive/vit", "timm:resnet18", "supervised/transformers:a/b"):
        assert cell_names(StudyConfig(pretraining=PretrainingConfig(overrides={name: {"epochs": 3}})))
