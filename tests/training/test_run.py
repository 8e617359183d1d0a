from __future__ import annotations

import torch

from noisymodel import LinearProbe, NMTuneTerms
from noisymodel.training.batches import LabelledRows
from noisymodel.training.run import add_terms, evaluate


def test_sums_are_weighted_and_read_at_once():
    static, sums = NMTuneTerms(*torch.zeros(5, requires_grad=True).unbind()), torch.zeros(5, dtype=torch.float64)
    for step in (1.0, 2.0):
        with torch.no_grad():
            for term in static:
                term.fill_(step)  # as the next replay of a CUDA graph does
        add_terms(sums, static, 10)
    assert sums.tolist() == [30.0] * 5
    assert not sums.requires_grad


def test_evaluation_in_parts_is_evaluation_of_the_whole():
    generator = torch.Generator().manual_seed(0)
    features, targets = torch.randn(2500, 4, generator=generator), torch.arange(2500) % 3
    head = LinearProbe(4, 3, label_smoothing=0.5, generator=generator)
    result = evaluate(head, LabelledRows(features, targets, torch.device("cpu"), torch.float32))
    logits = head(features)
    torch.testing.assert_close(result["validation_loss"], torch.nn.functional.cross_entropy(logits, targets).item())
    assert result["validation_accuracy"] == (logits.argmax(1) == targets).double().mean().item()
    assert not head.training
