"""A seed decides all that `fit` draws: beside other threads, and whatever torch's defaults are."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from noisymodel import MLPProbe, NMTune, fit, sweep
from noisymodel.sweeping import train_heads

D, K = 8, 4
TARGETS = torch.arange(100) % K
FEATURES = torch.randn(100, D, generator=torch.Generator().manual_seed(1)) + torch.eye(D)[TARGETS]


def new(make=NMTune, **settings):
    return make(D, K, generator=torch.Generator().manual_seed(0), **settings)


def trained(head=None):
    head = new(dropout=0.3) if head is None else head
    return fit(
        head, FEATURES, TARGETS, epochs=4, batch_size=16, seed=0, validation=(FEATURES, TARGETS)
    ).head.state_dict()


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def with_torch_s_dropout():
    head = new(MLPProbe)
    head.network.layers.append(nn.Dropout(0.3))
    return head


@pytest.mark.parametrize("make", [lambda: new(dropout=0.3), with_torch_s_dropout], ids=["ours", "torch's"])
def test_threads_do_not_meet(make):
    expected = trained(make())
    before = torch.random.get_rng_state()
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: trained(make()), range(6)))
    assert all(same(expected, one) for one in found)
    assert torch.equal(before, torch.random.get_rng_state())


def test_defaults_of_torch_change_nothing():
    grid = [{"dropout": 0.3}, {"consistency_weight": 1.0}]

    def all_three():
        heads = [new().float() for _ in range(2)]
        train_heads(heads, FEATURES, TARGETS, seeds=(0, 1), rows=[range(50), range(50, 100)], epochs=2)
        options = {"validation": (FEATURES, TARGETS), "epochs": 2, "device": "cpu"}
        return [
            trained(new(dropout=0.3).float()),
            sweep(D, K, grid, FEATURES, TARGETS, **options).head.state_dict(),
            *(head.state_dict() for head in heads),
        ]

    expected = all_three()
    for device, dtype in (("cpu", torch.float64), ("meta", torch.float32)):
        heads = [new(dropout=0.3), *(new() for _ in range(2))]
        torch.set_default_dtype(dtype)
        try:
            with torch.device(device):
                found = [trained(heads[0])]
                found.append(
                    sweep(
                        D, K, grid, FEATURES, TARGETS, validation=(FEATURES, TARGETS), epochs=2, device="cpu"
                    ).head.state_dict()
                )
                train_heads(heads[1:], FEATURES, TARGETS, seeds=(0, 1), rows=[range(50), range(50, 100)], epochs=2)
                found.extend(head.state_dict() for head in heads[1:])
        finally:
            torch.set_default_dtype(torch.float32)
        for one, other in zip(found, expected, strict=True):
            assert same(one, other)
