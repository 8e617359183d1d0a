"""AdamW is torch's, and training imports no compiler."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from noisymodel.training.optimizer import adamw

SCRIPT = """
import sys, torch
from noisymodel import NMTune, fit, sweep
rows = torch.zeros(30, 8), torch.arange(30) % 3
fit(NMTune(8, 3, dropout=0.1), *rows, epochs=1, seed=0)
sweep(8, 3, [{}, {"learning_rate": 0.1}], *rows, validation=rows, epochs=1)
sys.exit("torch._dynamo" in sys.modules or "torch._inductor" in sys.modules)
"""


def test_steps_are_those_of_torch():
    ours, theirs = (torch.nn.Parameter(torch.linspace(-1, 1, 7)) for _ in "12")
    one = adamw([ours], torch.device("cpu"), lr=0.1, weight_decay=0.3)
    other = torch.optim.AdamW([theirs], lr=0.1, weight_decay=0.3, fused=True)
    for _ in range(3):
        for parameter, optimizer in ((ours, one), (theirs, other)):
            parameter.grad = parameter.detach() ** 3 + 1
            optimizer.step()
    assert torch.equal(ours, theirs)
    assert str(one.state_dict()) == str(other.state_dict())


@pytest.mark.slow
def test_training_imports_no_compiler():
    subprocess.run([sys.executable, "-c", SCRIPT], check=True, timeout=120)
