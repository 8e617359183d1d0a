"""Configurations: defaults, files, one-line errors that name the key, hashes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from noisymodel.errors import ConfigError
from noisymodel.study import PretrainingConfig, StudyConfig, TuningConfig
from noisymodel.study.config_values import unknown_name


def test_default_is_the_study_of_the_readme() -> None:
    config = StudyConfig()
    assert config.noise_rates == (0.0, 0.05, 0.1, 0.2, 0.3)
    assert len(config.seeds) == 8
    assert not set(config.seeds) & {*range(100, 110), *range(300, 305), *range(1000, 1010)}, "seeds of the search"
    assert config.data == "glyphs"


def test_round_trip_through_a_dictionary_and_through_files(tmp_path: Path) -> None:
    config = StudyConfig(seeds=(3, 4), method_options={"mlp": {"learning_rate": 0.5}}, data_options={"size": 12})
    assert StudyConfig.from_mapping(config.to_dict()) == config
    (tmp_path / "config.json").write_text(json.dumps(config.to_dict()))
    assert StudyConfig.load(tmp_path / "config.json") == config
    (tmp_path / "config.toml").write_text(
        "seeds = [3, 4]\n[method_options.mlp]\nlearning_rate = 0.5\n[data_options]\nsize = 12"
    )
    assert StudyConfig.load(tmp_path / "config.toml") == config
    (tmp_path / "config.yaml").write_text(
        "seeds: [3, 4]\nmethod_options: {mlp: {learning_rate: 0.5}}\ndata_options: {size: 12}"
    )
    assert StudyConfig.load(str(tmp_path / "config.yaml")) == config


def test_whole_numbers_are_numbers() -> None:
    config = StudyConfig.from_mapping({"noise_rates": [0, 1], "pretraining": {"warmup": 2}})
    assert config.noise_rates == (0.0, 1.0)
    assert all(type(rate) is float for rate in config.noise_rates)
    assert config.pretraining == PretrainingConfig(warmup=2.0)


def test_a_lone_value_and_a_key_in_the_singular_are_lists_of_one() -> None:
    config = StudyConfig.from_mapping(
        {"noise_kind": "symmetric", "objective": "supervised", "task": "fine", "shots": 5}
    )
    assert (config.noise_kinds, config.objectives, config.tasks) == (("symmetric",), ("supervised",), ("fine",))
    assert config.shots == (5,)


BAD = [
    ({"sedes": [1]}, r"`sedes` is unknown; did you mean `seeds`\?"),
    ({"xyz": 1}, "`xyz` is unknown; known keys: data, data_options"),
    ({"pretraining": {"epoch": 1}}, r"`pretraining.epoch` is unknown; did you mean `pretraining.epochs`\?"),
    ({"pretraining": {"epochs": 1.5}}, r"`pretraining.epochs`: expected an integer, got 1\.5"),
    ({"pretraining": {"epochs": 0}}, "`pretraining.epochs`: expected a positive integer, got 0"),
    ({"pretraining": {"batch_size": 1}}, "`pretraining.batch_size`: expected an integer of at least 2, got 1"),
    ({"pretraining": {"learning_rate": -1}}, "`pretraining.learning_rate`: expected a positive number, got -1"),
    ({"pretraining": {"learning_rate": "fast"}}, "`pretraining.learning_rate`: expected a number, got 'fast'"),
    ({"pretraining": {"weight_decay": -1}}, "`pretraining.weight_decay`: expected a number of at least 0"),
    ({"pretraining": {"warmup": -1}}, "`pretraining.warmup`: expected a number of at least 0"),
    ({"pretraining": {"widths": []}}, "`pretraining.widths`: expected positive integers"),
    ({"pretraining": {"widths": [8, 0]}}, "`pretraining.widths`: expected positive integers"),
    ({"pretraining": 3}, "`pretraining`: expected a table of keys, got 3"),
    ({"pretraining": {"classifier_init": "zero"}}, "`pretraining.classifier_init`: expected 'linear' or 'kaiming'"),
    ({"tuning": {"epochs": 0}}, "`tuning.epochs`: expected a positive integer"),
    ({"tuning": {"batch_size": 1}}, "`tuning.batch_size`: expected an integer of at least 2"),
    ({"tuning": {"weight_decay": -1}}, "`tuning.weight_decay`: expected a number of at least 0"),
    ({"data": 3}, "`data`: expected a string, got 3"),
    ({"data_options": {"size": "big"}}, "`data_options.size`: expected an integer, got 'big'"),
    ({"seeds": []}, "`seeds`: expected distinct integers"),
    ({"seeds": 5}, "`seeds`: expected a list of integers, got 5"),
    ({"seeds": [1, 1]}, "`seeds`: expected distinct integers"),
    ({"seeds": [-1]}, "`seeds`: expected distinct integers of at least 0"),
    ({"seeds": [True]}, r"`seeds\[0\]`: expected an integer, got True"),
    ({"noise_rates": [0.1, 0.2]}, "`noise_rates`: expected ascending numbers from 0"),
    ({"noise_rates": [0, 0.2, 0.1]}, "`noise_rates`: expected ascending"),
    ({"noise_rates": [0, 1.1]}, "`noise_rates`: expected ascending numbers from 0 to at most 1"),
    ({"noise_rates": []}, "`noise_rates`: expected"),
    ({"noise_kind": ["symmetric", "symmetric"]}, "`noise_kinds`: expected distinct names"),
    ({"objectives": []}, "`objectives`: expected distinct names"),
    ({"architectures": 3}, r"`architectures\[0\]`: expected a string, got 3"),
    ({"tasks": ["fine", "fine"]}, "`tasks`: expected distinct names"),
    ({"suite": {"root": "x"}}, '`suite`: expected a table where `data` is "suite"'),
    ({"data": "suite"}, '`suite`: expected a table where `data` is "suite"'),
    ({"learning_curves": 1}, "`learning_curves`: expected true or false, got 1"),
    ({"methods": ["mlp", "mlp"]}, "`methods`: expected distinct names"),
    ({"shifts": ["salt", "salt"]}, "`shifts`: expected distinct names"),
    ({"shots": -1}, "`shots`: expected distinct integers of at least 0"),
    ({"shots": [4, 4]}, "`shots`: expected distinct integers of at least 0"),
    ({"method_options": {"mlp": 3}}, "`method_options.mlp`: expected a table of keys, got 3"),
    ({"seeds": "x" * 500}, r"got 'x{96}\.\.\."),
]


@pytest.mark.parametrize(("values", "message"), BAD)
def test_bad_values_name_the_key_on_one_line(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        StudyConfig.from_mapping(values)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.toml", "seeds = [", "cannot be parsed"),
        ("a.yaml", "seeds: [", "cannot be parsed"),
        ("a.json", "{", "cannot be parsed"),
        ("a.json", "[1]", "expected keys with values, got"),
        ("a.ini", "", r"expected the ending \.toml, \.yaml, \.yml or \.json"),
        (None, "", "cannot be read: No such file or directory"),
    ],
)
def test_bad_files_are_named_on_one_line(tmp_path: Path, name: str | None, text: str, message: str) -> None:
    path = tmp_path / (name or "missing.toml")
    if name:
        path.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        StudyConfig.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_values_that_would_fail_later_are_refused_however_they_come() -> None:
    infinite, nan = float("inf"), float("nan")
    for make, key in (
        (lambda: PretrainingConfig(learning_rate=infinite), "pretraining.learning_rate"),
        (lambda: PretrainingConfig(epochs=True), "pretraining.epochs"),
        (lambda: PretrainingConfig(widths=(1.5,)), r"pretraining.widths\[0\]"),
        (lambda: PretrainingConfig(warmup=nan), "pretraining.warmup"),
        (lambda: PretrainingConfig(noise_options={"temperature": infinite}), "pretraining.noise_options.temperature"),
        (lambda: PretrainingConfig(overrides={"vit": {"epochs": 2.5}}), "pretraining.overrides.vit.epochs"),
        (lambda: TuningConfig(batch_size=64.0), "tuning.batch_size"),
        (lambda: StudyConfig(seeds=(1, True)), r"seeds\[1\]"),
        (lambda: StudyConfig(shots=("5",)), r"shots\[0\]"),
        (lambda: StudyConfig(method_options={"mlp": {"learning_rate": nan}}), "method_options.mlp.learning_rate"),
        (lambda: StudyConfig(variants={"x": {"method": "mlp", "width": infinite}}), "variants.x.width"),
        (lambda: StudyConfig(learning_curves=1), "learning_curves"),
        (lambda: StudyConfig(data=3), "data"),
        (lambda: StudyConfig(tuning=7), "tuning"),
    ):
        with pytest.raises(ConfigError, match=f"`{key}`: expected "):
            make()
    assert StudyConfig(seeds=range(2), noise_rates=[0, 0.5]) == StudyConfig(seeds=(0, 1), noise_rates=(0.0, 0.5))


def test_unknown_names_list_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"`k`: expected one of 'mlp', 'linear', got 'mpl'; did you mean 'mlp'\?"):
        raise unknown_name("k", "mpl", ["mlp", "linear"])
    assert "did you mean" not in str(unknown_name("k", "zzz", ["mlp"]))


def test_names_that_do_not_exist_are_errors_when_the_configuration_is_made() -> None:
    for key in ("methods", "shifts", "tasks", "objectives", "architectures", "noise_kinds"):
        with pytest.raises(ConfigError, match=rf"config key `{key}`: expected one of .*, got 'a'"):
            StudyConfig(**{key: ["a", "b"]})
    with pytest.raises(ConfigError, match=r"`data`: expected one of .*, got 'glyph'; did you mean 'glyphs'\?"):
        StudyConfig(data="glyph")
    with pytest.raises(ConfigError, match=r"`pretraining.overrides`: expected one of .*, got 'supervised/vti'"):
        StudyConfig(pretraining=PretrainingConfig(overrides={"supervised/vti": {"epochs": 3}}))


def test_numbers_beyond_64_bits_are_errors() -> None:
    for make in (PretrainingConfig, TuningConfig):
        for key in ("epochs", "batch_size"):
            for value in (2**63, 10**400):
                with pytest.raises(ConfigError, match=rf"{key}`: expected an integer of at most 64 bits, got "):
                    make(**{key: value})
        with pytest.raises(ConfigError, match="weight_decay`: expected a finite number, got "):
            make(weight_decay=10**400)
    for key in ("seeds", "shots"):
        with pytest.raises(ConfigError, match=rf"`{key}\[0\]`: expected an integer of at most 64 bits"):
            StudyConfig(**{key: [2**64, 1]})


def test_arrays_are_lists_where_they_have_one_dimension_and_values() -> None:
    assert PretrainingConfig(widths=np.array([8, 4])).widths == PretrainingConfig(widths=torch.tensor([8, 4])).widths
    for value in (np.empty((0, 4)), torch.eye(4).to_sparse(), torch.ones(4, device="meta"), torch.ones(2, 2)):
        with pytest.raises(ConfigError, match=r"`pretraining.widths`: expected a list of integers, got "):
            PretrainingConfig(widths=value)
