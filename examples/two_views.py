"""Weak and strong views of pictures and texts: the strong view's Z stays near the weak view's features.

Each batch holds both views of the same samples. ``reference_inputs=weak`` alone compares Z(strong) with F(weak).
``both_views=True`` is the form of the published code: task, covariance and dominant terms use the rows of both views.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from noisymodel import NMTune, TunedModel

CLASSES, WIDTH, STEPS = 4, 32, 40


def pictures(count: int) -> tuple[Tensor, Tensor, Tensor]:
    """A bar in noise: unchanged, and strongly augmented (flipped upside down, brightness, a square cut out)."""
    targets = torch.arange(count) % CLASSES
    weak = 0.5 * torch.randn(count, 1, 16, 16)
    for picture, target in zip(weak, targets, strict=True):
        picture[0, :, 4 * target : 4 * target + 2] += 1.5
    strong = weak.flip(2) * (0.6 + 0.8 * torch.rand(count, 1, 1, 1))
    for picture, corner in zip(strong, torch.randint(0, 10, (count, 2)), strict=True):
        picture[0, corner[0] : corner[0] + 6, corner[1] : corner[1] + 6] = 0
    return weak, strong, targets


def texts(count: int) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor]:
    """Token ids, some of which tell the class; the strong view drops a third of the tokens."""
    targets = torch.arange(count) % CLASSES
    ids = torch.randint(10, 100, (count, 12))
    ids[:, ::3] = targets[:, None] + 1
    mask = torch.ones_like(ids)
    dropped = mask * (torch.rand(ids.shape) > 0.33)
    dropped[:, 0] = 1  # no text is left empty
    return {"ids": ids, "attention_mask": mask}, {"ids": ids, "attention_mask": dropped}, targets


class Words(nn.Module):
    """Embedded tokens (B, T, D), which `TunedModel` pools by the attention mask."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(100, WIDTH)

    def forward(self, ids: Tensor, attention_mask: Tensor) -> Tensor:
        """(B, T, D) of token ids (B, T)."""
        return self.table(ids) * attention_mask[..., None]


def train(model: TunedModel, data, *, both_views: bool) -> None:
    optimizer = torch.optim.AdamW(model.head.parameters(), lr=3e-3)
    for step in range(STEPS):
        weak, strong, targets = data(64)
        inputs = strong if isinstance(strong, dict) else {"input": strong}
        output = model.train()(**inputs, targets=targets, reference_inputs=weak, both_views=both_views)
        output.terms.total.backward()
        optimizer.step()
        optimizer.zero_grad()
        if step in (0, STEPS - 1):
            terms = ", ".join(f"{name} {value:.4f}" for name, value in output.terms._asdict().items())
            print(f"  step {step + 1}: {terms}")


@torch.no_grad()
def accuracy(model: TunedModel, data) -> float:
    _, strong, targets = data(400)
    logits = model.eval()(**strong) if isinstance(strong, dict) else model.eval()(strong)
    return (logits.argmax(1) == targets).float().mean().item()


def main() -> None:
    torch.manual_seed(0)
    backbones = {
        "pictures": (nn.Sequential(nn.Flatten(), nn.Linear(256, WIDTH), nn.ReLU()), pictures),
        "texts": (Words(), texts),
    }
    for name, (backbone, data) in backbones.items():
        for both_views in (False, True):
            print(f"{name}, " + ("both views, as published" if both_views else "the weak view is the reference"))
            head = NMTune.from_preset("official", WIDTH, CLASSES)
            model = TunedModel(backbone, head, freeze=True)
            train(model, data, both_views=both_views)
            print(f"  accuracy on strong views {accuracy(model, data):.1%}")


if __name__ == "__main__":
    main()
