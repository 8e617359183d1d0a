from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from noisymodel import LinearProbe, MLPProbe, NMTune


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def rows():
    return torch.randn(9, 6, generator=generator(1)) * 5


def test_a_head_begins_at_its_probe():
    probe = LinearProbe(6, 4, generator=generator(2)).eval()
    bare = probe.classifier
    arrays = SimpleNamespace(weight=bare.weight.detach().double().numpy(), bias=bare.bias.detach().numpy())
    for made in (NMTune, MLPProbe):
        for given in (probe, bare, arrays):
            head = made(6, 4, residual=True, depth=2, dropout=0.1, generator=generator())
            assert head.start_from(given) is head
            torch.testing.assert_close(head.eval()(rows()), probe(rows()))
            torch.testing.assert_close(head.tune(rows()), head.normalized(rows()))
    linear = LinearProbe(6, 4, generator=generator(5)).start_from(probe)
    torch.testing.assert_close(linear(rows()), probe(rows()))
    without_bias = NMTune(6, 4, residual=True, generator=generator()).start_from(SimpleNamespace(weight=bare.weight))
    assert torch.equal(without_bias.classifier.bias, torch.zeros(4))
    weights = {id(parameter) for parameter in head.parameters()}
    assert id(bare.weight) not in weights


def test_the_network_learns_from_there():
    head = NMTune(6, 4, residual=True, generator=generator()).start_from(LinearProbe(6, 4, generator=generator(2)))
    head.eval().loss(rows(), torch.arange(9) % 4).total.backward()
    assert head.network.layers[-1].weight.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("settings", "probe", "error", "message"),
    [
        ({"residual": False}, LinearProbe(6, 4, generator=generator()), ValueError, "make it with `residual=True`"),
        ({}, LinearProbe(5, 4, generator=generator()), ValueError, r"weight of shape \(4, 6\).* got \(4, 5\)"),
        ({}, LinearProbe(6, 3, generator=generator()), ValueError, r"weight of shape \(4, 6\).* got \(3, 6\)"),
        (
            {},
            LinearProbe(6, 4, normalize=None, generator=generator()),
            ValueError,
            "normalize='l2', got normalize=None",
        ),
        ({}, LinearProbe(6, 0, generator=generator()), TypeError, "a fitted LinearProbe or have `weight` and `bias`"),
        ({}, MLPProbe(6, 4, generator=generator()), TypeError, "linear in the features, got a MLPProbe"),
        ({}, 3, TypeError, "a fitted LinearProbe or have `weight` and `bias`, got int"),
        ({}, SimpleNamespace(weight=torch.full((4, 6), torch.nan)), ValueError, "finite weights"),
        ({}, SimpleNamespace(weight=np.zeros((4, 6)), bias=np.zeros(3)), ValueError, r"a bias of shape \(4,\), got"),
    ],
)
def test_what_cannot_be_begun_at(settings, probe, error, message):
    head = NMTune(6, 4, **{"residual": True, **settings}, generator=generator())
    before = {name: value.clone() for name, value in head.state_dict().items()}
    with pytest.raises(error, match=message):
        head.start_from(probe)
    assert all(torch.equal(value, before[name]) for name, value in head.state_dict().items())
