"""Exported networks come back to the bit, and nothing else does."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from noisymodel import study
from noisymodel.errors import InputFileError
from noisymodel.study.cell import Cell
from noisymodel.study.export import export_study, load_exported, verify_exported
from noisymodel.study.part_cache import Storage
from noisymodel.study.plan import cell_names


@pytest.fixture(scope="module")
def zoo_of(folder_of, tmp_path_factory):
    """A function that exports a study once."""
    made: dict[str, Path] = {}

    def export(name: str) -> Path:
        if name not in made:
            made[name] = export_study(folder_of(name)[1], tmp_path_factory.mktemp("zoo") / name).path
        return made[name]

    return export


@pytest.mark.parametrize("name", ["glyphs", "captions", "texts"])
def test_features_are_those_of_the_study_to_the_bit(name: str, folder_of, zoo_of) -> None:
    config, path = folder_of(name)
    folders = iter(json.loads((zoo_of(name) / "manifest.json").read_text())["networks"])
    for cell_name in cell_names(config):
        cell = Cell(config, cell_name, Storage(path / "cache"))
        task = next(iter(cell.tasks))
        for rate in config.noise_rates:
            record = next(folders)
            loaded = load_exported(zoo_of(name) / record["folder"])
            assert (loaded.config["objective"], loaded.config["noise_rate"]) == (cell_name.objective, rate)
            assert loaded.audit["requested_rate"] == rate
            assert loaded.network.name == cell.pretrained().network.name
            frozen = cell.frozen(rate, task)
            for shift, examples in cell._tests(task).items():
                assert torch.equal(loaded.features(examples.inputs), frozen.tests[shift])
            tensor = torch.from_numpy(examples.inputs)
            assert torch.equal(loaded.features(tensor), frozen.tests[shift])


def test_the_whole_network_is_back(folder_of, zoo_of) -> None:
    """Not its backbone alone: captions are embedded as they were."""
    config, path = folder_of("captions")
    cell = next(
        cell
        for cell in (Cell(config, name, Storage(path / "cache")) for name in cell_names(config))
        if cell.name.objective == "contrastive" and cell.name.architecture == "resnet"
    )
    loaded = load_exported(zoo_of("captions") / "contrastive-resnet-caption-shuffle-0.3-seed1")
    check = cell.source.pretraining_check()
    inputs, captions = torch.from_numpy(check.inputs), torch.from_numpy(check.captions)
    with torch.no_grad():
        ours, theirs = loaded.network(inputs, captions), cell.pretrained().one(1)(inputs, captions)
    assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))
    assert not loaded.network.training
    assert not any(parameter.requires_grad for parameter in loaded.network.parameters())


def test_other_shapes_are_refused(zoo_of) -> None:
    loaded = load_exported(zoo_of("glyphs") / "supervised-mlp-symmetric-0-seed1")
    assert loaded.features(np.zeros((3, 16, 16), np.float32)).shape == (3, 16)
    with pytest.raises(ValueError, match=r"`inputs` must have shape \(n, 16, 16\), got \(3, 1, 16, 16\)"):
        loaded.features(np.zeros((3, 1, 16, 16), np.float32))


@pytest.fixture
def network(zoo_of, tmp_path: Path) -> Path:
    """A copy that may be damaged."""
    return shutil.copytree(zoo_of("glyphs") / "supervised-mlp-symmetric-0.3-seed1", tmp_path / "network")


def test_every_file_is_compared(network: Path) -> None:
    verify_exported(network)
    for name in ("model.safetensors", "config.json", "noise_audit.json", "README.md"):
        content = (network / name).read_bytes()
        (network / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(InputFileError, match=rf"{name}' is not the file that was written"):
            load_exported(network)
        (network / name).unlink()
        with pytest.raises(InputFileError, match=rf"{name}' is missing"):
            load_exported(network)
        (network / name).write_bytes(content)
    load_exported(network)


def test_folders_that_are_no_network(network: Path, zoo_of, tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match=r"holds 4 networks; name one of them, such as 'supervised-mlp-symm"):
        load_exported(zoo_of("glyphs"))
    assert study.verify_exported(zoo_of("glyphs"))["versions"]["torch"]
    manifest = json.loads((network / "manifest.json").read_text())
    (network / "manifest.json").write_text(json.dumps(manifest | {"format": 2}))
    with pytest.raises(InputFileError, match="is of format 2; this version of the library reads 1"):
        load_exported(network)
    for broken in ("{", "[]", "{}"):
        (network / "manifest.json").write_text(broken)
        with pytest.raises(InputFileError, match="holds no exported network"):
            load_exported(network)
    with pytest.raises(InputFileError, match="holds no exported network"):
        load_exported(tmp_path)


def test_models_of_transformers_bring_their_configuration(tmp_path: Path) -> None:
    """The folder that a study took it from is not needed any more."""
    transformers = pytest.importorskip("transformers")
    from noisymodel.study import StudyConfig
    from noisymodel.study.execution import Shard
    from noisymodel.study.runner import run_shard

    model = tmp_path / "tiny_bert"
    tiny = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    transformers.BertConfig(vocab_size=40, **tiny).save_pretrained(model)
    config = StudyConfig.from_mapping({
        "data": "texts",
        "data_options": {"pretraining_texts": 60, "check_texts": 20, "test_texts": 20, "shift_texts": 20, "topics": 2},
        "seeds": [1],
        "noise_rates": [0],
        "shots": 2,
        "objectives": ["masked_token"],
        "architectures": [f"transformers:{model}"],
        "noise_kinds": ["token_swap"],
        "methods": ["linear_probe"],
        "pretraining": {"epochs": 1},
        "tuning": {"epochs": 1},
    })  # fmt: skip
    assert run_shard(config, tmp_path / "study", Shard(0, 1), workers=1) == []
    cell = Cell(config, cell_names(config)[0], Storage(tmp_path / "study" / "cache"))
    expected = cell.frozen(0.0, "fine").tests["none"]
    written = export_study(tmp_path / "study", tmp_path / "zoo")
    shutil.rmtree(model)
    assert written.networks == ("masked-token-transformers-tiny-bert-token-swap-0-seed1",)
    loaded = load_exported(written.path / written.networks[0])
    assert loaded.network.name == "transformers:tiny_bert"
    assert torch.equal(loaded.features(cell.source.test().inputs), expected)
    everything = [path.read_text() for path in written.path.rglob("*") if path.suffix in {".json", ".md"}]
    card = written.path / written.networks[0] / "README.md"
    assert str(model) not in card.read_text()
    assert sum(str(model) in text for text in everything) == 2, "the study's own configuration alone"
