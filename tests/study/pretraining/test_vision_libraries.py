"""Models of timm and open_clip, trained from random values.

As the other tests of these libraries, in an environment of their own (`.ci/vision`).
"""

from __future__ import annotations

import dataclasses
import json
import os
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

if os.environ.get("NOISYMODEL_REQUIRE_VISION") != "1" and (find_spec("timm") is None or find_spec("open_clip") is None):
    pytest.skip("timm and open_clip are tested in an environment of their own", allow_module_level=True)

from noisymodel.errors import ConfigError
from noisymodel.study.pretraining import measures, pretrain, untrained
from study.pretraining.tiny_requests import SIDE, pictures, request

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize(
    ("name", "size", "width", "settings"),
    [
        ("resnet10t", (32, 32), 512, {}),
        ("vit_tiny_patch16_224", (32, 32), 192, {"image_size": 32}),
        ("resnet10t", (48, 48), 512, {"image_size": 48}),
    ],
)
def test_timm(name: str, size: tuple[int, int], width: int, settings: dict[str, int]) -> None:
    asked = request(architecture=f"timm:{name}", rates=(0.0, 0.3), epochs=1, **settings)
    trained = pretrain(asked)
    network = trained.one(1)
    assert (network.name, network.num_inputs, network.num_features) == (f"timm:{name}", SIDE**2, width)
    images = torch.from_numpy(pictures().inputs)[:, None]
    resized = torch.nn.functional.interpolate(images, size, mode="bilinear", antialias=True).repeat(1, 3, 1, 1)
    model = network.backbone[1].model
    mean, std = (torch.tensor(model.pretrained_cfg[key])[:, None, None] for key in ("mean", "std"))
    prepared = (resized - mean) / std
    expected = model.forward_head(model.forward_features(prepared), pre_logits=True)
    torch.testing.assert_close(network.features(images), expected, atol=1e-4, rtol=1e-3)
    assert set(measures(asked, 0.3, network, pictures(10, seed=5))) == {"noisy_label_fit", "clean_accuracy"}
    assert same(dict(pretrain(asked).states[1]), dict(trained.states[1])), (
        "random depth and dropout follow from the seed"
    )
    assert not same(dict(trained.states[0]), dict(trained.states[1]))


TINY = {
    "embed_dim": 12,
    "vision_cfg": {"image_size": 24, "layers": 1, "width": 16, "patch_size": 8, "head_width": 8},
    "text_cfg": {"context_length": 6, "vocab_size": 30, "width": 8, "heads": 2, "layers": 1},
}


@pytest.fixture
def tiny(tmp_path: Path) -> str:
    """A model of open_clip that is made in a moment."""
    from open_clip import add_model_config

    (tmp_path / "tiny-clip.json").write_text(json.dumps(TINY))
    add_model_config(tmp_path / "tiny-clip.json")
    return "open_clip:tiny-clip"


@pytest.mark.parametrize("image_size", [0, 16])
def test_open_clip(tiny: str, image_size: int) -> None:
    asked = request("contrastive", tiny, epochs=1, image_size=image_size)
    network = untrained(asked)
    assert (network.name, network.num_features) == (tiny, 12)
    assert network.backbone[0].size == ((image_size or 24),) * 2
    captions = torch.from_numpy(pictures(4).captions)
    held = network.captions
    ids = torch.zeros(4, held.context, dtype=torch.long)
    ids[:, 0], ids[:, 1:3], ids[:, 3] = 28, captions[:, :2], 29
    with torch.no_grad():
        expected = torch.nn.functional.normalize(held.tower.eval()(ids), dim=1)
        got = network.eval().embed_captions(captions)
    torch.testing.assert_close(got, expected)
    assert not torch.allclose(got[0], got[1])
    start = {name: value.clone() for name, value in network.state_dict().items()}
    trained = pretrain(asked)
    moved = {name.split(".")[0] for name, value in trained.states[0].items() if not torch.equal(value, start[name])}
    assert moved == {"backbone", "captions", "log_scale"}
    retrieval = measures(asked, 0.3, trained.one(0), pictures(6, seed=5))
    assert 0 <= retrieval["retrieval_accuracy"] <= 1
    assert not any("token" in name and "visual" in name for name in start)


def test_what_cannot_be_made(tiny: str) -> None:
    with pytest.raises(ConfigError, match="`architectures`: timm:no_such_model cannot be made: "):
        untrained(request(architecture="timm:no_such_model"))
    with pytest.raises(ConfigError, match="`architectures`: open_clip:no_such_model cannot be made: "):
        untrained(request("contrastive", "open_clip:no_such_model"))
    many = dataclasses.replace(request("contrastive", tiny), vocabulary=29)
    with pytest.raises(ConfigError, match="open_clip:tiny-clip has 30 tokens, and the data 29"):
        untrained(many)
    with pytest.raises(ConfigError, match="takes 3 channels, not 2"):
        untrained(request(architecture="timm:resnet10t", examples=pictures(channels=2)))
