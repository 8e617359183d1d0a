"""What goes together."""

from __future__ import annotations

import inspect

import pytest

from noisymodel import noise
from noisymodel.errors import ConfigError
from noisymodel.study import PretrainingConfig, StudyConfig
from noisymodel.study.pretraining import ARCHITECTURES, NOISE_KINDS, NOISE_OF, OBJECTIVES, fits
from study.pretraining.tiny_requests import pictures, request, texts


@pytest.mark.parametrize(
    ("names", "fitting"),
    [
        ("pictures supervised mlp symmetric", True),
        ("pairs supervised vit instance_dependent", True),
        ("texts supervised transformer pair_flip", True),
        ("texts supervised transformers:bert similarity", True),
        ("pictures supervised timm:resnet18 confusion", True),
        ("pairs contrastive resnet caption_shuffle", True),
        ("pairs contrastive open_clip:RN50 caption_swap", True),
        ("texts masked_token transformer token_swap", True),
        ("texts masked_token transformers:bert token_mask", True),
        ("pictures supervised transformer symmetric", False),
        ("texts supervised resnet symmetric", False),
        ("texts supervised timm:resnet18 symmetric", False),
        ("pictures supervised open_clip:RN50 symmetric", False),
        ("pictures contrastive resnet caption_shuffle", False),
        ("pairs contrastive resnet symmetric", False),
        ("pairs masked_token transformer token_swap", False),
        ("texts masked_token mlp token_swap", False),
        ("pictures supervised timm: symmetric", False),
        ("pictures supervised convnext symmetric", False),
        ("pictures unsupervised resnet symmetric", False),
    ],
)
def test_what_fits(names: str, fitting: bool) -> None:
    assert fits(*names.split()) is fitting


def test_every_noise_of_labels_captions_and_tokens_is_there() -> None:
    def is_of_classes(name: str) -> bool:
        found = getattr(noise, name)
        return inspect.isfunction(found) and {"labels", "rate"} <= set(inspect.signature(found).parameters)

    named = {"confusion": "from_confusion"}
    labels = {named.get(kind, kind) for kind in NOISE_OF["supervised"]}
    assert {name for name in noise.__all__ if is_of_classes(name)} == labels | {"open_set"}, (
        "which needs other pictures"
    )
    assert NOISE_OF["masked_token"] == tuple(f"token_{mode}" for mode in ("substitute", "mask", "delete", "swap"))
    assert len(NOISE_OF["contrastive"]) == 4
    assert set(NOISE_KINDS) == {kind for kinds in NOISE_OF.values() for kind in kinds}
    assert tuple(NOISE_OF) == OBJECTIVES
    assert "resnet" in ARCHITECTURES


def test_requests_that_make_no_sense() -> None:
    with pytest.raises(ConfigError, match=r"`objectives`: expected one of 'supervised', .*'contrastiv'.*'contrastive'"):
        request("contrastiv", noise_kind="symmetric")
    with pytest.raises(
        ConfigError, match=r"`noise_kinds`: expected one of .* got 'symetric'; did you mean 'symmetric'"
    ):
        request(noise_kind="symetric")
    with pytest.raises(ConfigError, match=r"expected one of 'caption_shuffle', .* for the objective 'contrastive'"):
        request("contrastive", noise_kind="symmetric")
    with pytest.raises(ConfigError, match="'contrastive' needs data with captions"):
        request("contrastive", examples=pictures()._replace(captions=None))
    with pytest.raises(ConfigError, match="'masked_token' needs texts"):
        request("masked_token", "transformer", examples=pictures())
    assert request("masked_token", "transformer", examples=texts()).texts


def test_overrides_by_objective_architecture_and_both() -> None:
    values = {
        "epochs": 3,
        "overrides": {
            "contrastive": {"epochs": 4, "batch_size": 9},
            "vit": {"epochs": 5, "transformer_width": 6, "transformer_heads": 3},
            "contrastive/vit": {"epochs": 6},
        },
    }
    config = StudyConfig.from_mapping({"pretraining": values}).pretraining
    got = {
        (objective, architecture): config.resolved(objective, architecture)
        for objective in ("supervised", "contrastive")
        for architecture in ("mlp", "vit")
    }
    assert [one.epochs for one in got.values()] == [3, 5, 4, 6]
    assert [one.batch_size for one in got.values()] == [128, 128, 9, 9]
    assert [one.transformer_width for one in got.values()] == [64, 6, 64, 6]
    assert StudyConfig.from_mapping(StudyConfig(pretraining=config).to_dict()).pretraining == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"overrides": {"vit": {"epoch": 3}}}, r"`pretraining\.overrides\.vit\.epoch` is unknown.*epochs"),
        ({"overrides": {"vit": {"epochs": "3"}}}, r"`pretraining\.overrides\.vit\.epochs`: expected an integer"),
        ({"overrides": {"vit": {"epochs": 0}}}, r"`pretraining\.overrides\.vit\.epochs`: expected a positive integer"),
        ({"overrides": {"vit": {"overrides": {}}}}, "no overrides of overrides"),
        ({"transformer_heads": 5}, r"`pretraining\.transformer_heads`: expected a divisor of transformer_width"),
        ({"patch_size": 0}, r"`pretraining\.patch_size`: expected a positive integer"),
        ({"resnet_widths": []}, r"`pretraining\.resnet_widths`: expected positive integers"),
        ({"temperature": 0}, r"`pretraining\.temperature`: expected a positive number"),
        ({"mask_share": 1}, r"`pretraining\.mask_share`: expected a number between 0 and 1"),
        ({"checkpoint_steps": -1}, r"`pretraining\.checkpoint_steps`: expected a number of at least 0"),
    ],
)
def test_settings_out_of_range(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        StudyConfig.from_mapping({"pretraining": values})


def test_networks_depend_on_neither_device_nor_checkpoints() -> None:
    plain = PretrainingConfig().training()
    assert PretrainingConfig(device="cuda", checkpoint_steps=4, checkpoint_seconds=1).training() == plain
    assert PretrainingConfig(patch_size=2).training() != plain
