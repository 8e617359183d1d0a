"""NMTune in a plain PyTorch loop: with a frozen backbone, and with full fine-tuning.

Generated pictures, a small network with random weights; put your own backbone and loader in their place.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from noisymodel import NMTune, NMTuneLoss, TunedModel

CLASSES, WIDTH, EPOCHS = 4, 32, 4


def pictures(count: int) -> TensorDataset:
    """Noise with a bright bar whose place tells the class."""
    targets = torch.arange(count) % CLASSES
    values = 0.5 * torch.randn(count, 1, 16, 16)
    for picture, target in zip(values, targets, strict=True):
        picture[0, :, 4 * target : 4 * target + 2] += 1.5
    return TensorDataset(values, targets)


def backbone() -> nn.Module:
    block = [nn.Conv2d(1, 16, 3, stride=2), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, WIDTH, 3, stride=2), nn.ReLU()]
    return nn.Sequential(*block, nn.Flatten(), nn.Linear(9 * WIDTH, WIDTH))


def train(model: TunedModel, learning_rate: float) -> None:
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=1e-4)
    # a last batch of one row would have no covariance
    loader = DataLoader(pictures(512), batch_size=64, shuffle=True, drop_last=True)
    for epoch in range(EPOCHS):
        model.train()  # a frozen backbone stays in evaluation mode
        for inputs, targets in loader:
            terms = model(inputs, targets=targets).terms
            terms.total.backward()
            optimizer.step()
            optimizer.zero_grad()
        print(f"  epoch {epoch + 1}: " + ", ".join(f"{name} {value:.4f}" for name, value in terms._asdict().items()))


@torch.no_grad()
def accuracy(model: nn.Module) -> float:
    inputs, targets = pictures(400).tensors
    return (model.eval()(inputs).argmax(1) == targets).float().mean().item()


def main() -> None:
    torch.manual_seed(0)
    print("frozen backbone, NMTune head")
    frozen = TunedModel(backbone(), NMTune(WIDTH, CLASSES), freeze=True)
    train(frozen, 3e-3)
    print(f"  accuracy {accuracy(frozen):.1%}")

    print("full fine-tuning, NMTune's terms on what the head sees, consistency with the backbone as it was")
    tuned = TunedModel(
        backbone(), NMTune(WIDTH, CLASSES), reference="frozen", objective=NMTuneLoss(covariance_weight=0.04)
    )
    train(tuned, 1e-3)
    print(f"  accuracy {accuracy(tuned):.1%}")

    print("no wrapper: a Sequential, and the head's own loss on the features")
    features, head = backbone(), NMTune(WIDTH, CLASSES)
    model = nn.Sequential(features, head)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for inputs, targets in DataLoader(pictures(512), batch_size=64, shuffle=True, drop_last=True):
        terms = head.loss(features(inputs), targets)
        terms.total.backward()
        optimizer.step()
        optimizer.zero_grad()
    print(f"  accuracy {accuracy(model):.1%}")

    inputs = pictures(8).tensors[0]
    with TemporaryDirectory() as folder:
        torch.save(tuned.state_dict(), Path(folder) / "model.pt")  # all of it: with reference="frozen" the copy, too
        frozen.head.save_pretrained(Path(folder) / "head")  # where the backbone was frozen the head is enough
        again = TunedModel(backbone(), NMTune(WIDTH, CLASSES), reference="frozen")
        again.load_state_dict(torch.load(Path(folder) / "model.pt", weights_only=True))
        head = NMTune.from_pretrained(Path(folder) / "head")
    same = torch.equal(again.eval()(inputs), tuned.eval()(inputs))
    same &= torch.equal(head(frozen.backbone(inputs)), frozen(inputs))
    print("logits of the checkpoint:", "the same" if same else "other ones")


if __name__ == "__main__":
    main()
