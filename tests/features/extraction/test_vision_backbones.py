"""Backbones by name through timm and open_clip, with random weights: none can be downloaded here.

They need torchvision, whose published build does not load beside a PyTorch for the CPU unless two operators of it are
declared first, so continuous integration runs this file in an environment of its own (`.ci/vision`).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

if os.environ.get("NOISYMODEL_REQUIRE_VISION") != "1" and (find_spec("timm") is None or find_spec("open_clip") is None):
    pytest.skip("timm and open_clip are tested in an environment of their own", allow_module_level=True)

from noisymodel.errors import InputFileError
from noisymodel.features import extract, load_backbone, weights_fingerprint

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
TIMM, CLIP = "timm:resnet10t", "open_clip:RN50"


@pytest.fixture(autouse=True)
def _random_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same random weights for every name, as if a checkpoint held them."""
    module = import_module("noisymodel.features.extraction.extract")
    monkeypatch.setattr(module, "load_backbone", lambda name, seed=0: load_backbone(name, pretrained=False))


def picture(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (50, 40, 3), dtype=np.uint8))


def ready(transform: Callable | None, pictures: list[Image.Image]) -> torch.Tensor:
    assert transform is not None
    return torch.stack([transform(one.convert("RGB")) for one in pictures])


def test_timm_gives_its_pooled_features_before_the_classifier(tmp_path: Path) -> None:
    import timm

    pictures = [picture(0), picture(1).convert("L"), picture(2)]
    store = extract(TIMM, [(pictures, [0, 1, 2])], tmp_path / "store")
    loaded = load_backbone(TIMM, pretrained=False)
    with torch.random.fork_rng():
        model = timm.create_model("resnet10t", pretrained=False)
    model.load_state_dict(loaded.module.module.state_dict(), strict=False)
    model.eval()
    with torch.no_grad():
        features = model.forward_features(ready(loaded.transform, pictures))
        wanted = model.forward_head(features, pre_logits=True)
    torch.testing.assert_close(store[:], wanted, atol=1e-4, rtol=1e-3)
    assert store.metadata["versions"]["timm"] == timm.__version__
    assert "Normalize" in store.metadata["transform"]
    as_tensors = extract(TIMM, [ready(loaded.transform, pictures)], tmp_path / "tensors")
    torch.testing.assert_close(as_tensors[:], wanted, atol=1e-4, rtol=1e-3)
    deep = extract(TIMM, [pictures], tmp_path / "deep", layer="module.layer4")
    torch.testing.assert_close(deep[:], features.mean((2, 3)), atol=1e-4, rtol=1e-3)


def test_open_clip_embeds_pictures_and_texts(tmp_path: Path) -> None:
    import open_clip

    pictures, texts = [picture(0), picture(1)], ["a wrong caption", "another"]
    loaded = load_backbone(CLIP, pretrained=False)
    model = loaded.module.module.eval()
    of_pictures = extract(CLIP, [pictures], tmp_path / "pictures")
    of_texts = extract(CLIP, [texts], tmp_path / "texts")
    with torch.no_grad():
        wanted_pictures = model.encode_image(ready(loaded.transform, pictures))
        wanted_texts = model.encode_text(open_clip.get_tokenizer("RN50")(texts))
    torch.testing.assert_close(of_pictures[:], wanted_pictures, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(of_texts[:], wanted_texts, atol=1e-4, rtol=1e-3)
    before = extract(CLIP, [pictures], tmp_path / "before", layer="module.visual.attnpool:input")
    assert before.num_features == 2048
    assert of_pictures.num_features == 1024


def test_weights_that_are_not_named_or_not_there() -> None:
    with pytest.raises(InputFileError, match="name the weights: open_clip:ViT-B-16-SigLIP/WEIGHTS, one of webli"):
        load_backbone("open_clip:ViT-B-16-SigLIP")
    with pytest.raises(InputFileError, match="timm:no_such_model cannot be loaded"):
        load_backbone("timm:no_such_model")


def test_the_seed_draws_the_weights() -> None:
    first = weights_fingerprint(load_backbone(TIMM, pretrained=False).module)
    assert first == weights_fingerprint(load_backbone(TIMM, pretrained=False).module)
    assert first != weights_fingerprint(load_backbone(TIMM, pretrained=False, seed=1).module)


def test_texts_for_a_backbone_of_pictures(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="takes pictures, and the loader gives texts"):
        extract(TIMM, [["a text"]], tmp_path / "store")
