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
from noisymodel.files import file_checksum
from noisymodel.study.cell import Cell
from noisymodel.study.export import export_study, load_exported, verify_exported
from noisymodel.study.part_cache import PartCache
from noisymodel.study.plan import plan


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
    for cell_name in plan(config).cells:
        cell = Cell(plan(config), cell_name, PartCache(path / "cache"))
        task = next(iter(cell.tasks))
        for rate in config.noise_rates:
            record = next(folders)
            loaded = load_exported(zoo_of(name) / record["folder"])
            assert (loaded.config["objective"], loaded.config["noise_rate"]) == (cell_name.objective, rate)
            assert loaded.audit["requested_rate"] == rate
            assert loaded.network.name == cell.pretrained().network.name
            frozen = cell.frozen(rate, task)
            for shift, examples in cell.examples_of(task).tests.items():
                assert torch.equal(loaded.features(examples.inputs), frozen.tests[shift])
            tensor = torch.from_numpy(examples.inputs)
            assert torch.equal(loaded.features(tensor), frozen.tests[shift])


def test_the_whole_network_is_back(folder_of, zoo_of) -> None:
    """Not its backbone alone: captions are embedded as they were."""
    config, path = folder_of("captions")
    cell = next(
        cell
        for cell in (Cell(plan(config), name, PartCache(path / "cache")) for name in plan(config).cells)
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


def resigned(folder: Path, **files: str | bytes | None) -> Path:
    """The folder with other files, by key ``config_json`` for ``config.json``, and a manifest that fits them."""
    manifest = json.loads((folder / "manifest.json").read_text())
    for key, content in files.items():
        path = folder / key.replace("_json", ".json").replace("__", "/")
        path.parent.mkdir(exist_ok=True)
        if content is None:
            path.unlink()
            del manifest["files"][path.relative_to(folder).as_posix()]
            continue
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        manifest["files"][path.relative_to(folder).as_posix()] = file_checksum(path)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def changed(folder: Path, **changes: object) -> str:
    record = json.loads((folder / "config.json").read_text())
    pretraining = record["pretraining"] | changes.pop("pretraining", {})
    return json.dumps(record | {"pretraining": pretraining} | changes)


def test_manifests_stay_in_their_folder_and_list_what_they_must(network: Path, tmp_path: Path) -> None:
    manifest = json.loads((network / "manifest.json").read_text())
    (tmp_path / "outside").write_text("secret")
    sums = manifest["files"] | {"../outside": file_checksum(tmp_path / "outside")}
    absolute = manifest["files"] | {str(tmp_path / "outside"): file_checksum(tmp_path / "outside")}
    for files, message in (
        ({}, r"lists no config\.json"),
        ({name: value for name, value in manifest["files"].items() if name != "model.safetensors"}, "lists no model"),
        (sums, r"names '\.\./outside', which is not inside its folder"),
        (absolute, "which is not inside its folder"),
    ):
        (network / "manifest.json").write_text(json.dumps(manifest | {"files": files}))
        with pytest.raises(InputFileError, match=message):
            load_exported(network)
    (network / "manifest.json").write_text(json.dumps(manifest | {"networks": [{"folder": "../../etc"}]}))
    with pytest.raises(InputFileError, match="not inside its folder"):
        verify_exported(network)
    (network / "linked").symlink_to(tmp_path / "outside")
    linked = manifest["files"] | {"linked": file_checksum(tmp_path / "outside")}
    (network / "manifest.json").write_text(json.dumps(manifest | {"files": linked}))
    with pytest.raises(InputFileError, match="leads out of its folder"):
        load_exported(network)


def test_configurations_that_are_none_name_their_file(network: Path) -> None:
    for content, message in (
        ("{}", r"config\.json' has no key `name`"),
        ("[]", r"config\.json is damaged: it holds no JSON object"),
        ("{", r"config\.json is damaged: no JSON"),
        (changed(network, objective="dreaming"), "`objective` must be one of"),
        (changed(network, seed="one"), "`seed` is 'one'"),
        (changed(network, inputs={}), "`inputs.shape` must be"),
        (changed(network, inputs={"shape": [16, True], "dtype": "float32"}), "`inputs.shape` must be"),
        (changed(network, inputs={"shape": [16, 16], "dtype": "O"}), "`inputs.dtype` must be float32 or int64"),
        (changed(network, pretraining={"epochs": 0}), r"config\.json': config key `pretraining\.epochs`"),
        (changed(network, architecture="resnet18"), r"config\.json': config key `architectures`: .*'resnet18'"),
        (changed(network, objective="contrastive"), r"config\.json': config key `objectives`: 'contrastive' needs"),
    ):
        with pytest.raises(InputFileError, match=message):
            load_exported(resigned(network, config_json=content))


def test_sizes_are_compared_with_the_weights_before_anything_is_made(network: Path) -> None:
    """None of these would fit into any memory."""
    for content in (
        changed(network, pretraining={"widths": [10**9, 10**9]}),
        changed(network, pretraining={"widths": [4] * 10**5}),
        changed(network, classes=10**12),
        changed(network, inputs={"shape": [10**6, 10**6], "dtype": "float32"}),
        changed(network, architecture="resnet", pretraining={"resnet_widths": [10**6, 10**6]}),
        changed(network, architecture="vit", pretraining={"transformer_width": 10**6, "transformer_depth": 10**4}),
        changed(network, architecture="vit", pretraining={"transformer_depth": 10**9}),
    ):
        with pytest.raises(InputFileError, match=r"does not fit config\.json|asks for \d+ layers|describes no network"):
            load_exported(resigned(network, config_json=content))


def test_nothing_is_fetched_and_no_code_is_run(network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def request(*_: object, **__: object) -> None:
        raise AssertionError("a request was made")

    monkeypatch.setattr("socket.socket.connect", request)
    monkeypatch.setattr("socket.getaddrinfo", request)
    for architecture, message in (
        ("transformers:org/model", "nothing is downloaded"),
        ("timm:hf-hub:org/model", "is no model of timm's own: it is not fetched"),
        ("timm:local-dir:/etc", "is no model of timm's own"),
        ("open_clip:hf-hub:org/model", "is no model of open_clip's own"),
        ("timm:", "is no model of timm's own"),
    ):
        with pytest.raises(InputFileError, match=message):
            load_exported(resigned(network, config_json=changed(network, architecture=architecture)))
    pytest.importorskip("transformers")
    own = {"auto_map": {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}, "model_type": "evil"}
    evil = "raise SystemExit('code of others was run')"
    config = changed(network, architecture="transformers:evil")
    folder = resigned(network, config_json=config, architecture__config_json=json.dumps(own), architecture__evil=evil)
    with pytest.raises(InputFileError, match="brings code of its own"):
        load_exported(folder)


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
    cell = Cell(plan(config), plan(config).cells[0], PartCache(tmp_path / "study" / "cache"))
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
