"""Exports: what is written, that it is whole or not there, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from safetensors.torch import load_file

from noisymodel import noise, study
from noisymodel.errors import InputFileError, OutputFolderError
from noisymodel.files import file_checksum
from noisymodel.study.cell import Cell
from noisymodel.study.collect import collect
from noisymodel.study.data import open_source
from noisymodel.study.export import export_study, zoo
from noisymodel.study.part_cache import PartCache
from noisymodel.study.plan import plan

FILES = {"model.safetensors", "config.json", "README.md", "noise_audit.json", "manifest.json"}


@pytest.fixture(scope="module")
def exported(folder_of, tmp_path_factory) -> Path:
    _, path = folder_of("glyphs")
    return export_study(path, tmp_path_factory.mktemp("zoo") / "new" / "zoo").path


def test_every_network_has_a_folder(exported: Path) -> None:
    names = [f"supervised-mlp-symmetric-{rate}-seed{seed}" for seed in (1, 2) for rate in ("0", "0.3")]
    assert {path.name for path in exported.iterdir()} == {*names, "README.md", "study.json", "manifest.json"}
    for name in names:
        assert {path.name for path in (exported / name).iterdir()} == FILES


def test_weights_are_those_of_the_study(folder_of, exported: Path) -> None:
    config, path = folder_of("glyphs")
    for name in plan(config).cells:
        networks = Cell(plan(config), name, PartCache(path / "cache")).stored_networks()
        for state, rate in zip(networks.states, ("0", "0.3"), strict=True):
            written = load_file(exported / f"supervised-mlp-symmetric-{rate}-seed{name.seed}" / "model.safetensors")
            assert written.keys() == state.keys()
            assert all(written[key].equal(value) for key, value in state.items())


def test_config_says_how_to_build_and_feed_it(exported: Path) -> None:
    record = json.loads((exported / "supervised-mlp-symmetric-0.3-seed2" / "config.json").read_text())
    assert record["name"] == "mlp-256-32-16"
    assert record["inputs"] == {
        "kind": "pictures",
        "dtype": "float32",
        "shape": [16, 16],
        "axes": ["height", "width"],
        "range": [0.0, 1.0],
        "normalization": "none outside the network",
    }
    found = {key: record[key] for key in ("objective", "architecture", "noise_kind", "noise_rate", "seed", "classes")}
    assert found == {
        "objective": "supervised",
        "architecture": "mlp",
        "noise_kind": "symmetric",
        "noise_rate": 0.3,
        "seed": 2,
        "classes": 10,
    }
    assert record["pretraining"]["widths"] == [32, 16]
    assert record["data"]["options"]["pretraining_images"] == 300


def test_manifests_have_the_checksum_of_every_file(exported: Path) -> None:
    for folder in (exported, exported / "supervised-mlp-symmetric-0-seed1"):
        manifest = json.loads((folder / "manifest.json").read_text())
        files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        assert set(manifest["files"]) == files - {"manifest.json"}
        assert all(file_checksum(folder / name) == checksum for name, checksum in manifest["files"].items())


def test_the_audit_is_that_of_the_labels(folder_of, exported: Path) -> None:
    config, _ = folder_of("glyphs")
    labels = open_source(config, 2).pretraining().labels
    audit = json.loads((exported / "supervised-mlp-symmetric-0.3-seed2" / "noise_audit.json").read_text())
    given = noise.verify(audit["injector"], labels).labels
    counts = np.zeros((10, 10), dtype=int)
    np.add.at(counts, (labels, given), 1)
    assert audit["transition_counts"] == counts.tolist()
    assert audit["num_changed"] == int((given != labels).sum()) == 90
    assert audit["realized_rate"] == 0.3
    assert audit["changed_per_class"] == (counts.sum(1) - np.diag(counts)).tolist()
    assert audit["class_counts"] == [30] * 10
    assert audit["noisy_class_counts"] == counts.sum(0).tolist()
    clean = json.loads((exported / "supervised-mlp-symmetric-0-seed2" / "noise_audit.json").read_text())
    assert clean["num_changed"] == 0
    assert clean["noisy_checksum"] == clean["clean_checksum"] == audit["clean_checksum"] != audit["noisy_checksum"]


def test_the_card_says_what_was_measured(folder_of, exported: Path) -> None:
    config, path = folder_of("glyphs")
    table = collect(plan(config), PartCache(path / "cache")).table
    rows = [row for row in table if (row.noise_rate, row.shift, row.seed) == (0.3, "none", 1)]
    (fit,) = [row.value for row in rows if row.metric == "noisy_label_fit"]
    (entropy,) = [r.value for r in rows if r.method == "features" and r.metric == "singular_value_entropy"]
    text = (exported / "supervised-mlp-symmetric-0.3-seed1" / "README.md").read_text()
    front, body = text.removeprefix("---\n").split("\n---\n", 1)
    tags = ["noisy-model-learning", "supervised", "symmetric"]
    assert yaml.safe_load(front) == {"license": "apache-2.0", "library_name": "noisymodel", "tags": tags}
    assert body.startswith("\n# mlp-256-32-16, supervised, 30.0% wrong labels, seed 1\n\n")
    assert f"| share of its noisy training labels that it reproduces | {fit:.2%} |" in text
    assert f"| singular-value entropy (SVE) of the features | {entropy:.4g} |" in text
    assert "30.0% of the labels were to be wrong, 90 of 300 are (30.00%)" in text
    assert "| class | labels | wrong | as 0 |" in text
    assert "study.load_exported('supervised-mlp-symmetric-0.3-seed1')" in text
    assert "noisymodel study export study --to zoo" in text
    assert "float32 (n, 16, 16), values in [0, 1] -> (n, 16)" in text


def test_the_overview_has_a_row_for_each(exported: Path) -> None:
    text = (exported / "README.md").read_text()
    assert text.count("| supervised | mlp-256-32-16 | symmetric |") == 4
    assert "| 30.0% | 30.00% | 2 | noisy label fit " in text
    assert json.loads((exported / "study.json").read_text())["seeds"] == [1, 2]


def test_the_same_study_gives_the_same_bytes(folder_of, exported: Path, tmp_path: Path) -> None:
    _, path = folder_of("glyphs")
    (tmp_path / "empty").mkdir()
    again = export_study(path, tmp_path / "empty").path
    ours, theirs = ((folder / "manifest.json").read_bytes() for folder in (again, exported))
    assert ours == theirs


def test_captions_and_texts(folder_of, tmp_path: Path) -> None:
    config, path = folder_of("captions")
    pairs = export_study(path, tmp_path / "pairs")
    assert len(pairs.networks) == 2 * len(plan(config).cells) == 4
    place = pairs.path / "contrastive-vit-caption-shuffle-0.3-seed1"
    audit = json.loads((place / "noise_audit.json").read_text())
    assert audit["num_changed"] == 90
    assert 0.2 < audit["other_class_rate"] < 0.3
    assert np.sum(audit["transition_counts"]) == 300
    assert np.trace(audit["transition_counts"]) == round(300 * (1 - audit["other_class_rate"]))
    assert json.loads((place / "vocabulary.json").read_text()) == list(open_source(config, 1).spelling)
    text = (place / "README.md").read_text()
    assert "30.0% of the captions were to be wrong, 90 of 300 are (30.00%)" in text
    assert "| singular-value entropy (SVE) of the features (coarse) |" in text

    config, path = folder_of("texts")
    texts = export_study(path, tmp_path / "texts")
    assert len(texts.networks) == 4
    audit = json.loads(
        (texts.path / "masked-token-transformer-token-delete-0.3-seed1" / "noise_audit.json").read_text()
    )
    words = open_source(config, 1).pretraining().inputs
    assert audit["num_samples"] == int((words != 0).sum()) == sum(audit["class_counts"])
    assert audit["num_changed"] == sum(audit["changed_per_class"]) == round(0.3 * audit["num_samples"])
    assert audit["num_texts"] == 90
    assert 80 < audit["num_texts_changed"] <= 90
    audit = json.loads((texts.path / "supervised-transformer-similarity-0.3-seed1" / "noise_audit.json").read_text())
    assert audit["injector"]["method"] == "similarity"


def test_partly_finished_studies(folder_of, tmp_path: Path) -> None:
    """What is there is written; cells that are not, and measures that are not, are said to be missing."""
    import shutil

    config, path = folder_of("glyphs")
    part = tmp_path / "part"
    shutil.copytree(path, part)
    planned, cache = plan(config), PartCache(part / "cache")
    first, second = planned.cells
    cache.path(planned.pretraining(first), ".safetensors").unlink()
    for found in planned.parts[:2]:
        cache.path(planned.identity(second, found)).unlink()
    shutil.move(part / "cache", tmp_path / "elsewhere")
    written = export_study(part, tmp_path / "zoo", cache=tmp_path / "elsewhere", licence="cc-by-4.0")
    assert written.missing == (first,)
    assert written.networks == ("supervised-mlp-symmetric-0-seed2", "supervised-mlp-symmetric-0.3-seed2")
    text = (written.path / written.networks[0] / "README.md").read_text()
    assert "None: the study had not measured this network" in text
    assert "license: cc-by-4.0" in text


def test_what_is_refused(folder_of, tmp_path: Path) -> None:
    _, path = folder_of("glyphs")
    with pytest.raises(InputFileError, match=r"'.*nothing' holds no study: it has no readable config\.json"):
        export_study(tmp_path / "nothing", tmp_path / "zoo")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    for full in (tmp_path / "full", tmp_path / "full" / "file"):
        with pytest.raises(OutputFolderError, match="is not empty; choose a new folder"):
            export_study(path, full)
    with pytest.raises(InputFileError, match=r"holds no networks of this study .* `noisymodel study --resume --out "):
        export_study(path, tmp_path / "zoo", cache=tmp_path / "full")
    assert (tmp_path / "full" / "file").read_text() == "mine"
    assert sorted(item.name for item in tmp_path.iterdir()) == ["full"]


def test_an_export_that_fails_leaves_nothing(folder_of, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, path = folder_of("glyphs")

    def fails(*_: object) -> str:
        raise OSError("disk full")

    monkeypatch.setattr(zoo, "overview", fails)
    with pytest.raises(OSError, match="disk full"):
        export_study(path, tmp_path / "zoo")
    assert list(tmp_path.iterdir()) == []


def test_names_of_folders_are_plain_and_distinct(tmp_path: Path) -> None:
    assert zoo._new_name(tmp_path, "supervised timm:vit_tiny/16 x") == "supervised-timm-vit-tiny-16-x"
    (tmp_path / "a-b").mkdir()
    assert zoo._new_name(tmp_path, "a/b") == "a-b-2"
    (tmp_path / "model").mkdir()
    assert zoo._without_folder(f"transformers:{tmp_path / 'model'}") == "transformers:model"
    assert zoo._without_folder("timm:resnet18") == "timm:resnet18"


def test_licences_in_the_card(folder_of, tmp_path: Path) -> None:
    assert zoo._licence(study.StudyConfig()) == "apache-2.0"
    _, path = folder_of("glyphs")
    for licence, said in (("other", "is not known here"), ("mine: ask", "Licence of the weights: mine: ask. Redo")):
        written = export_study(path, tmp_path / licence[:4], licence=licence).path
        for text in ((found / "README.md").read_text() for found in (written, next(written.glob("supervised*")))):
            assert said in text
        assert yaml.safe_load(text.split("---\n")[1])["license"] == licence
