"""Backbones by name through transformers: small ones made here, and MiniLM's real weights."""

from __future__ import annotations

import gc
import shutil
import sys
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from noisymodel.errors import FeatureStoreError, InputFileError, MissingExtraError
from noisymodel.features import extract, load_backbone, weights_fingerprint

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
TEXTS = ["wrong labels", "a much longer text about captions that are wrong", "x"]


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import ViTConfig, ViTImageProcessor, ViTModel

    folder = tmp_path_factory.mktemp("vit")
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(0)
        config = ViTConfig(
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            image_size=32,
            patch_size=16,
        )
        ViTModel(config, add_pooling_layer=False).save_pretrained(folder)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def directly(folder: Path, text: str) -> torch.Tensor:
    from transformers import AutoModel, AutoTokenizer

    with torch.random.fork_rng(), torch.no_grad():
        model = AutoModel.from_pretrained(folder).eval()
        tokenizer = AutoTokenizer.from_pretrained(folder)
        return model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]


def test_texts_are_tokenized_and_pooled_without_their_padding(bert: Path, tmp_path: Path) -> None:
    store = extract(f"hf:{bert}", [(TEXTS[:2], [0, 1]), (TEXTS[2:], [2])], tmp_path / "store", pooling="mean")
    assert store.labels is not None
    assert store.labels[:].tolist() == [0, 1, 2]
    for place, text in enumerate(TEXTS):
        torch.testing.assert_close(store[place], directly(bert, text).mean(0), atol=1e-5, rtol=1e-4)
    assert store.metadata["backbone"] == f"hf:{bert}"
    assert store.metadata["versions"]["transformers"]
    first = extract(f"hf:{bert}", [TEXTS], tmp_path / "cls", pooling="cls")
    torch.testing.assert_close(first[1], directly(bert, TEXTS[1])[0], atol=1e-5, rtol=1e-4)
    last = extract(f"hf:{bert}", [TEXTS], tmp_path / "last", pooling="last")
    torch.testing.assert_close(last[0], directly(bert, TEXTS[0])[-1], atol=1e-5, rtol=1e-4)
    with pytest.raises(FeatureStoreError, match="layer is"):
        first.check_backbone(last)


def test_weights_that_the_checkpoint_lacks_are_found(bert: Path, tmp_path: Path) -> None:
    loaded = load_backbone(f"hf:{bert}")
    assert loaded.metadata["random_weights"] == ["pooler.dense.bias", "pooler.dense.weight"]
    with pytest.raises(ValueError, match=r"layer 'pooler' depend on weights that the checkpoint does not hold"):
        extract(f"hf:{bert}", [TEXTS], tmp_path / "store", layer="pooler")
    assert not (tmp_path / "store").exists()
    assert weights_fingerprint(loaded.module) == weights_fingerprint(load_backbone(f"hf:{bert}").module)
    assert weights_fingerprint(loaded.module) != weights_fingerprint(load_backbone(f"hf:{bert}", seed=1).module)


def test_minilm(minilm: Path, tmp_path: Path) -> None:
    name = f"hf:{minilm}"
    stores = extract(name, [TEXTS], tmp_path / "stores", layer=["output", "encoder.layer.0"], pooling="mean")
    assert stores["output"].shape == (3, 384)
    torch.testing.assert_close(stores["output"][1], directly(minilm, TEXTS[1]).mean(0), atol=1e-5, rtol=1e-4)
    assert not torch.allclose(stores["output"][:], stores["encoder.layer.0"][:], atol=0.01)


def picture(seed: int, size: tuple[int, int] = (40, 30)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8))


def test_pictures_go_through_the_models_own_processor(vit: Path, tmp_path: Path) -> None:
    from transformers import ViTImageProcessor, ViTModel

    pictures = [picture(0), picture(1, (20, 50)), picture(2).convert("L")]
    store = extract(f"hf:{vit}", [(pictures, [0, 1, 0])], tmp_path / "store", pooling="mean")
    processor = ViTImageProcessor.from_pretrained(vit)
    model = ViTModel.from_pretrained(vit, add_pooling_layer=False).eval()
    values = processor([one.convert("RGB") for one in pictures], return_tensors="pt")
    with torch.no_grad():
        wanted = model(**values).last_hidden_state.mean(1)
    torch.testing.assert_close(store[:], wanted, atol=1e-5, rtol=1e-4)
    transform = load_backbone(f"hf:{vit}").transform
    assert transform is not None
    ready = torch.stack([transform(one) for one in pictures])
    again = extract(f"hf:{vit}", [{"pixel_values": ready}], tmp_path / "again", pooling="mean")
    torch.testing.assert_close(again[:], wanted, atol=1e-5, rtol=1e-4)


def test_inputs_of_the_wrong_kind(bert: Path, vit: Path, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="takes pictures, and the loader gives texts"):
        extract(f"hf:{vit}", [TEXTS], tmp_path / "store")
    with pytest.raises(TypeError, match="takes texts, and the loader gives pictures"):
        extract(f"hf:{bert}", [[picture(0)]], tmp_path / "store")
    assert load_backbone(f"hf:{bert}").transform is None


def test_random_weights_on_request(bert: Path) -> None:
    fresh = load_backbone(f"hf:{bert}", pretrained=False)
    assert isinstance(fresh.module, nn.Module)
    assert weights_fingerprint(fresh.module) != weights_fingerprint(load_backbone(f"hf:{bert}").module)


def test_what_cannot_be_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputFileError, match=r"^hf:.*nowhere cannot be loaded"):
        load_backbone(f"hf:{tmp_path / 'nowhere'}")
    for name, extra in (("timm:resnet18", "timm"), ("open_clip:RN50", "open-clip"), ("hf:x", "hf")):
        package = {"timm": "timm", "open-clip": "open_clip", "hf": "transformers"}[extra]
        monkeypatch.setitem(__import__("sys").modules, package, None)
        with pytest.raises(MissingExtraError, match=rf"noisymodel\[{extra}\]"):
            load_backbone(name)
    with pytest.raises(ValueError, match="must begin with timm:, open_clip:, hf:, st: or onnx:"):
        load_backbone("keras:resnet")


def test_damaged_files_are_one_line(bert: Path, tmp_path: Path) -> None:
    for name, content in [
        ("model.safetensors", b"nonsense"),
        ("model.safetensors", (bert / "model.safetensors").read_bytes()[:-100]),
        ("config.json", b"{"),
        ("config.json", b"[1]"),
        ("modules.json", b"{"),
    ]:
        folder = tmp_path / "damaged"
        shutil.copytree(bert, folder)
        (folder / name).write_bytes(content)
        with pytest.raises(InputFileError, match=r"cannot be (loaded|read): ") as caught:
            load_backbone(f"hf:{folder}")
        assert "\n" not in str(caught.value)
        shutil.rmtree(folder)


def test_the_second_copy_lives_for_one_batch_only(bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And there is none where the checkpoint holds all weights."""
    from transformers import BertModel

    module = sys.modules["noisymodel.features.extraction.extract"]
    loaded: list[weakref.ref[nn.Module]] = []
    original = module.load_backbone

    def load(*arguments: object, **options: object) -> object:
        found = original(*arguments, **options)
        loaded.append(weakref.ref(found.module))
        return found

    monkeypatch.setattr(module, "load_backbone", load)

    def batches():
        for text in TEXTS:
            yield [text]
            gc.collect()
            seen.append(sum(one() is not None for one in loaded))

    seen: list[int] = []
    extract(f"hf:{bert}", batches(), tmp_path / "store", pooling="cls")
    assert (len(loaded), seen) == (2, [1, 1, 1])
    shutil.copytree(bert, tmp_path / "whole")
    with torch.random.fork_rng():
        BertModel(BertModel.from_pretrained(bert).config).save_pretrained(tmp_path / "whole")
    loaded.clear()
    extract(f"hf:{tmp_path / 'whole'}", [TEXTS], tmp_path / "again", pooling="cls")
    assert len(loaded) == 1
