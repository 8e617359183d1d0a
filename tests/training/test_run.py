from __future__ import annotations

import torch

from noisymodel import LinearProbe, NMTuneTerms
from noisymodel.training.batches import LabelledRows
from noisymodel.training.run import TermSums, evaluate


def terms(*values):
    return NMTuneTerms(*(torch.tensor(float(value), requires_grad=True) for value in values))


def test_sums_are_weighted_and_exact_over_many_batches():
    sums = TermSums(torch.device("cpu"))
    assert sums.total().tolist() == [0] * 5
    expected = torch.zeros(5, dtype=torch.float64)
    for step in range(200):
        values = [step, 1, 2.5, -step, 1e-3]
        sums.add(terms(*values), step % 7 + 1)
        expected += (step % 7 + 1) * torch.tensor(values).double()
        if step % 50 == 0:
            torch.testing.assert_close(sums.total(), expected)
    total = sums.total()
    torch.testing.assert_close(total, expected)
    assert not total.requires_grad
    assert total.dtype == torch.float64


def test_evaluation_in_parts_is_evaluation_of_the_whole():
    generator = torch.Generator().manual_seed(0)
    features, targets = torch.randn(2500, 4, generator=generator), torch.arange(2500) % 3
    head = LinearProbe(4, 3, label_smoothing=0.5, generator=generator)
    result = evaluate(head, LabelledRows(features, targets, torch.device("cpu"), torch.float32))
    logits = head(features)
    torch.testing.assert_close(result["validation_loss"], torch.nn.functional.cross_entropy(logits, targets).item())
    assert result["validation_accuracy"] == (logits.argmax(1) == targets).double().mean().item()
    assert not head.training
