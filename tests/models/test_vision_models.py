"""Models of timm and open_clip under `TunedModel`, with random weights, from scratch on generated pictures.

Like the tests of backbones by name they run in an environment of their own (`.ci/vision`).
"""

from __future__ import annotations

import copy
import io
import os
import pickle
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

if os.environ.get("NOISYMODEL_REQUIRE_VISION") != "1" and (find_spec("timm") is None or find_spec("open_clip") is None):
    pytest.skip("timm and open_clip are tested in an environment of their own", allow_module_level=True)

from noisymodel import NMTune, TunedModel
from noisymodel._random import seeded
from noisymodel.models import open_clip_backbone, timm_backbone

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
K, SIZE = 3, 32
TESTS = Path(__file__).parent.parent
EXAMPLES = TESTS.parent / "examples"


def pictures(count=12, seed=0):
    """Noise, brighter in the channel of the class."""
    targets = torch.arange(count) % K
    values = 0.3 * torch.randn(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))
    values[torch.arange(count), targets] += 1
    return values, targets


def timm_model(name, seed=0, **options):
    import timm

    with seeded(seed):
        return timm.create_model(name, pretrained=False, **options)


TIMM = {
    "resnet": lambda seed=0: timm_model("resnet10t", seed, num_classes=5),
    "vit": lambda seed=0: timm_model(
        "vit_tiny_patch16_224", seed, img_size=SIZE, patch_size=16, embed_dim=24, depth=2, num_heads=2, num_classes=5
    ),
    "wider-head": lambda seed=0: timm_model("mobilenetv3_small_050", seed, num_classes=5),
}


@pytest.mark.parametrize("name", TIMM)
def test_timm_features_are_what_goes_into_the_classifier(name):
    model, (inputs, _) = TIMM[name]().eval(), pictures()
    backbone = timm_backbone(model, example=inputs[:2])  # passes it twice
    features = backbone(inputs)
    assert features.shape == (12, backbone.num_features) == (12, model.head_hidden_size)
    torch.testing.assert_close(model.get_classifier()(features), model(inputs))
    assert torch.equal(features, backbone(inputs))
    other = TIMM[name](seed=1).eval()  # a checkpoint holds all that the features depend on
    other.load_state_dict({k: v for k, v in model.state_dict().items() if "classifier" not in k}, strict=False)
    assert torch.equal(timm_backbone(other)(inputs), features)
    if name == "wider-head":
        assert model.head_hidden_size != model.num_features
    assert not any(parameter.requires_grad for parameter in model.get_classifier().parameters())


@pytest.mark.parametrize("name", ["resnet", "vit"])
@pytest.mark.parametrize("freeze", [True, False])
def test_timm_from_scratch(name, freeze):
    """Loss falls, terms are logged, a checkpoint gives the same logits, and resuming equals not stopping."""

    def begin():
        backbone = timm_backbone(TIMM[name]())
        head = NMTune(
            backbone.num_features, K, hidden_features=64, generator=torch.Generator().manual_seed(1), input_noise=0.0
        )
        model = TunedModel(backbone, head, freeze=freeze).train()
        return model, torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-3)

    def steps(model, optimizer, count):
        history = []
        for _ in range(count):
            terms = model.train()(inputs, targets=targets).terms
            terms.total.backward()
            optimizer.step()
            optimizer.zero_grad()
            history.append({name: value.item() for name, value in terms._asdict().items()})
        return history

    inputs, targets = pictures()
    model, optimizer = begin()
    history = steps(model, optimizer, 4)
    file = io.BytesIO()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, file)
    history += steps(model, optimizer, 4)
    assert min(entry["task"] for entry in history[4:]) < 0.8 * history[0]["task"]
    assert all((entry["consistency"] > 0) == freeze and entry["dominant"] < 0 for entry in history)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    again, other_optimizer = begin()
    again.load_state_dict(saved["model"])
    other_optimizer.load_state_dict(saved["optimizer"])
    assert steps(again, other_optimizer, 4) == history[4:]
    assert torch.equal(again.eval()(inputs), model.eval()(inputs))


def clip_model(kind="vit"):
    import open_clip

    vision = {
        "vit": open_clip.CLIPVisionCfg(layers=1, width=32, head_width=16, patch_size=16, image_size=SIZE),
        "resnet": open_clip.CLIPVisionCfg(layers=(1, 1, 1, 1), width=8, image_size=SIZE),
        "timm": open_clip.CLIPVisionCfg(timm_model_name="resnet10t", timm_proj="linear", timm_pool="", image_size=SIZE),
    }[kind]
    text = open_clip.CLIPTextCfg(context_length=8, vocab_size=50, width=16, heads=2, layers=1)
    cls = open_clip.CustomTextCLIP if kind == "timm" else open_clip.CLIP
    with seeded(0):
        return cls(12, vision, text)


def tokens(count=12, seed=0):
    targets = torch.arange(count) % K
    ids = torch.randint(10, 40, (count, 8), generator=torch.Generator().manual_seed(seed))
    ids[:, 1], ids[:, 6] = targets + 3, 49
    return ids, targets


@pytest.mark.parametrize("kind", ["vit", "resnet", "timm"])
@pytest.mark.parametrize("tower", ["image", "text"])
def test_open_clip_before_and_after_the_projection(kind, tower):
    clip = clip_model(kind).eval()
    names = set(clip.state_dict())
    inputs = (pictures() if tower == "image" else tokens())[0]
    before, after = (open_clip_backbone(clip, tower=tower, feature=f) for f in ("pre_proj", "post_proj"))
    encode = clip.encode_image if tower == "image" else clip.encode_text
    assert torch.equal(after(inputs), encode(inputs))
    width = {"image": {"vit": 32, "resnet": 256, "timm": 512}[kind], "text": 16}[tower]
    assert (before.num_features, after.num_features) == (width, 12)
    if tower == "text":
        projected = before(inputs) @ (clip.text.text_projection if kind == "timm" else clip.text_projection)
    elif kind == "vit":
        projected = before(inputs) @ clip.visual.proj
    else:
        projected = (clip.visual.head.proj if kind == "timm" else clip.visual.attnpool.c_proj)(before(inputs))
    torch.testing.assert_close(projected, after(inputs), atol=1e-5, rtol=1e-4)
    assert set(clip.state_dict()) == names, "the model itself keeps its projection"
    assert torch.equal(after(inputs), encode(inputs))
    shared = {id(parameter) for parameter in clip.parameters()}
    assert all(id(parameter) in shared for parameter in before.parameters())
    if tower == "text":
        assert not any("visual" in name or "logit" in name for name in after.state_dict())
    assert torch.equal(copy.deepcopy(before)(inputs), before(inputs))
    assert torch.equal(pickle.loads(pickle.dumps(before))(inputs), before(inputs))  # noqa: S301 - our own bytes


@pytest.mark.parametrize(("tower", "data"), [("image", pictures), ("text", tokens)])
@pytest.mark.parametrize("freeze", [True, False])
def test_open_clip_is_tuned(tower, data, freeze):
    backbone = open_clip_backbone(clip_model(), tower=tower, feature="pre_proj")
    head = NMTune(backbone.num_features, K, generator=torch.Generator().manual_seed(1), input_noise=0.0)
    model = TunedModel(backbone, head, freeze=freeze, reference="frozen").train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=5e-3)
    inputs, targets = data()
    history = []
    for _ in range(20):
        terms = model(inputs, targets=targets).terms
        terms.total.backward()
        optimizer.step()
        optimizer.zero_grad()
        history.append(terms.task.item())
    assert history[-1] < 0.7 * history[0]
    assert terms.consistency > 0
    again = TunedModel(
        open_clip_backbone(clip_model(), tower=tower, feature="pre_proj"), head, freeze=freeze, reference="frozen"
    )
    again.load_state_dict(model.state_dict())
    assert torch.equal(again.eval()(inputs), model.eval()(inputs))


def test_towers_whose_projection_is_not_known():
    import open_clip

    vision = open_clip.CLIPVisionCfg(timm_model_name="resnet10t", timm_proj="none", timm_pool="avg", image_size=SIZE)
    text = open_clip.CLIPTextCfg(context_length=8, vocab_size=50, width=16, heads=2, layers=1)
    with seeded(0):
        clip = open_clip.CustomTextCLIP(12, vision, text)
    with pytest.raises(ValueError, match="`feature` 'pre_proj' is not known for TimmModel"):
        open_clip_backbone(clip, feature="pre_proj")


def run_example(path, *arguments, folder):
    """What an example prints; torchvision's usual build is made to load beside a PyTorch for the CPU."""
    code = f"import sys, torchvision_on_cpu, runpy; sys.argv = {[str(path), *map(str, arguments)]!r}"
    path = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; runpy.run_path(sys.argv[0], run_name='__main__')"],
        capture_output=True,
        text=True,
        cwd=folder,
        check=False,
        env=os.environ | {"PYTHONPATH": path, "MPLBACKEND": "agg"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", ["timm_backbone.py", "open_clip_backbone.py"])
def test_example_runs(name, tmp_path):
    assert "logits of the checkpoint: the same" in run_example(EXAMPLES / name, folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(find_spec("matplotlib") is None, reason="the pages draw")
@pytest.mark.parametrize(("name", "printed"), [("timm", "64 features"), ("open_clip", "post_proj: 48 features")])
def test_how_to_page_runs_and_draws_its_picture(name, printed, tmp_path):
    """With NOISYMODEL_FIGURES=docs/figures it is the picture of the page."""
    folder = Path(os.environ.get("NOISYMODEL_FIGURES", tmp_path)).resolve()
    picture = folder / f"how-to-{name.replace('_', '-')}.png"
    assert printed in run_example(EXAMPLES / "how_to" / f"{name}_model.py", picture, folder=tmp_path)
    assert picture.read_bytes().startswith(b"\x89PNG")
