"""NMTune on a tower of open_clip, before and after its projection (a tiny model with random weights)."""

from __future__ import annotations

import io

import torch

try:
    import open_clip
except ImportError as error:
    raise SystemExit(f"{error.name} is missing: pip install 'noisymodel[open-clip]'") from None

from noisymodel import NMTune, TunedModel
from noisymodel.models import open_clip_backbone

CLASSES, STEPS = 3, 12


def tiny() -> torch.nn.Module:
    """Replace it with ``open_clip.create_model("ViT-B-32", pretrained="laion2b_s34b_b79k")``."""
    vision = open_clip.CLIPVisionCfg(layers=2, width=64, head_width=32, patch_size=16, image_size=64)
    text = open_clip.CLIPTextCfg(context_length=16, vocab_size=100, width=32, heads=2, layers=2)
    return open_clip.CLIP(48, vision, text)


def pictures(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    targets = torch.arange(count) % CLASSES
    values = 0.3 * torch.randn(count, 3, 64, 64)
    values[torch.arange(count), targets] += 1
    return values, targets


def captions(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids whose second one tells the class; for real captions use ``open_clip.get_tokenizer``."""
    targets = torch.arange(count) % CLASSES
    ids = torch.randint(10, 90, (count, 16))
    ids[:, 1], ids[:, 15] = targets + 3, 99
    return ids, targets


def train(model: TunedModel, data) -> None:
    optimizer = torch.optim.AdamW(model.head.parameters(), lr=3e-3)
    for step in range(STEPS):
        inputs, targets = data(48)
        terms = model.train()(inputs, targets=targets).terms
        terms.total.backward()
        optimizer.step()
        optimizer.zero_grad()
        if step in (0, STEPS - 1):
            print(f"  step {step + 1}: " + ", ".join(f"{name} {value:.4f}" for name, value in terms._asdict().items()))


def main() -> None:
    torch.manual_seed(0)
    clip, same = tiny(), True
    for tower, data in (("image", pictures), ("text", captions)):
        for feature in ("pre_proj", "post_proj"):
            backbone = open_clip_backbone(clip, tower=tower, feature=feature)
            print(f"{tower} tower, {feature}: {backbone.num_features} features")
            model = TunedModel(backbone, NMTune(backbone.num_features, CLASSES), freeze=True)
            train(model, data)
            file = io.BytesIO()
            torch.save(model.state_dict(), file)
            file.seek(0)
            other = open_clip_backbone(tiny(), tower=tower, feature=feature)
            again = TunedModel(other, NMTune(other.num_features, CLASSES), freeze=True)
            again.load_state_dict(torch.load(file, weights_only=True))
            inputs, _ = data(6)
            same &= torch.equal(again.eval()(inputs), model.eval()(inputs))
    print("logits of the checkpoint:", "the same" if same else "not")


if __name__ == "__main__":
    main()
