from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from noisymodel.training.schedule import Schedule


def test_cosine_is_torch_s_own():
    schedule = Schedule(0.3, steps=20)
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20)
    for step in range(20):
        assert schedule(step) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
        optimizer.step()
        scheduler.step()
    assert schedule(20) == 0


@given(steps=st.integers(1, 200), share=st.floats(0, 1), peak=st.floats(1e-6, 10))
def test_rises_to_the_peak_and_falls(steps, share, peak):
    warmup = math.floor(share * steps)
    schedule = Schedule(peak, steps, warmup)
    rates = [schedule(step) for step in range(steps)]
    assert max(rates) == pytest.approx(peak)
    assert min(rates) > 0
    if warmup < steps:
        assert schedule(steps) == 0
    assert rates[:warmup] == pytest.approx([peak * (step + 1) / warmup for step in range(warmup)])
    assert all(later < earlier for earlier, later in zip(rates[warmup:], rates[warmup + 1 :], strict=False))
