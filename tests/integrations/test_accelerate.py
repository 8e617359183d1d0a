"""Accelerate: the gradient of each term under accumulation is the mean of the batches' gradients."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from noisymodel import NMTune, NMTuneLoss

accelerate = pytest.importorskip("accelerate")
TERMS = ("task", "consistency", "covariance", "dominant")
pytestmark = pytest.mark.filterwarnings("ignore:.*pin_memory.*:UserWarning")


def made() -> NMTune:
    return NMTune(6, 3, norm="layer", input_noise=0.0, generator=torch.Generator().manual_seed(0))


def gradients(head: NMTune) -> dict[str, torch.Tensor]:
    return {name: w.grad.clone() for name, w in head.named_parameters() if w.grad is not None}


@pytest.mark.parametrize("term", TERMS)
@pytest.mark.parametrize("steps", [1, 2, 4, 8])
def test_each_term_under_accumulation(term: str, steps: int) -> None:
    from accelerate.state import AcceleratorState, GradientState

    features = torch.randn(32, 6, generator=torch.Generator().manual_seed(1))
    data = TensorDataset(features, features[:, :3].argmax(1))
    criterion = NMTuneLoss(consistency_weight=1.0, covariance_weight=1.0, dominant_weight=1.0)
    size = 32 // steps

    wanted = made()
    for start in range(0, 32, size):
        batch, targets = data[start : start + size]
        logits, tuned = wanted(batch, return_features=True)
        (getattr(criterion(logits, targets, tuned=tuned, reference=batch), term) / steps).backward()

    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=steps)
    head = made()
    optimizer = torch.optim.SGD(head.parameters(), lr=1.0)
    before = {name: weight.detach().clone() for name, weight in head.named_parameters()}
    model, optimizer, loader = accelerator.prepare(head, optimizer, DataLoader(data, size))
    updates = 0
    for batch, targets in loader:
        with accelerator.accumulate(model):
            logits, tuned = model(batch, return_features=True)
            accelerator.backward(getattr(criterion(logits, targets, tuned=tuned, reference=batch), term))
            updates += accelerator.sync_gradients
            optimizer.step()
            optimizer.zero_grad()
    assert updates == 1
    expected = gradients(wanted)
    assert expected
    for name, weight in head.named_parameters():
        got = before[name] - weight.detach()
        torch.testing.assert_close(got, expected.get(name, torch.zeros_like(got)), atol=2e-6, rtol=1e-4)
