"""NMTune on a timm model: frozen, then fine-tuned (with random weights; pass pretrained=True for real ones)."""

from __future__ import annotations

import io

import torch

try:
    import timm
except ImportError as error:
    raise SystemExit(f"{error.name} is missing: pip install 'noisymodel[timm]'") from None

from noisymodel import NMTune, TunedModel
from noisymodel.models import timm_backbone

CLASSES, STEPS = 3, 8


def pictures(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise, brighter in the channel of the class."""
    targets = torch.arange(count) % CLASSES
    values = 0.3 * torch.randn(count, 3, 64, 64)
    values[torch.arange(count), targets] += 1
    return values, targets


def build() -> TunedModel:
    model = timm.create_model("resnet10t", pretrained=False)  # with its classifier: num_classes=0 is not needed
    backbone = timm_backbone(model, example=torch.zeros(2, 3, 64, 64))
    return TunedModel(backbone, NMTune(backbone.num_features, CLASSES, hidden_features=128), reference="frozen")


def train(model: TunedModel, learning_rate: float) -> None:
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=learning_rate)
    for step in range(STEPS):
        inputs, targets = pictures(24)
        terms = model.train()(inputs, targets=targets).terms
        terms.total.backward()
        optimizer.step()
        optimizer.zero_grad()
        if step in (0, STEPS - 1):
            print(f"  step {step + 1}: " + ", ".join(f"{name} {value:.4f}" for name, value in terms._asdict().items()))


def main() -> None:
    torch.manual_seed(0)
    model = build().freeze_backbone()
    print("frozen, features of width", model.backbone.num_features)
    train(model, 1e-2)
    print("fine-tuned; the reference is the backbone as it was")
    train(model.unfreeze_backbone(), 1e-3)
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    again = build()
    again.load_state_dict(torch.load(file, weights_only=True))
    inputs, _ = pictures(4)
    print("logits of the checkpoint:", "the same" if torch.equal(again.eval()(inputs), model.eval()(inputs)) else "not")


if __name__ == "__main__":
    main()
