from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from noisymodel import MLPProbe, NMTune
from noisymodel.heads.network import classifier, linear


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def make(**settings):
    return NMTune(6, 3, generator=generator(), **settings).network


def kinds(network):
    return [type(layer).__name__ for layer in network.layers]


def test_layers():
    assert kinds(make()) == ["Linear", "BatchNorm1d", "ReLU", "Linear"]
    assert kinds(make(norm="layer", dropout=0.1)) == ["Linear", "LayerNorm", "ReLU", "Dropout", "Linear"]
    assert kinds(make(norm=None, depth=3)) == [*["Linear", "ReLU"] * 3, "Linear"]


@pytest.mark.parametrize(("hidden", "width"), [(None, 24), (5, 5)])
def test_widths(hidden, width):
    linears = [layer for layer in make(hidden_features=hidden, depth=2).layers if isinstance(layer, nn.Linear)]
    assert [tuple(layer.weight.shape) for layer in linears] == [(width, 6), (width, width), (6, width)]


def test_residual_scale_starts_at_one():
    network = make(residual=True, input_noise=0.0)
    assert torch.equal(network.scale, torch.ones(6))
    rows = torch.randn(4, 6, generator=generator())
    torch.testing.assert_close(network(rows), network.layers(rows) + rows)
    with torch.no_grad():
        network.scale.fill_(0)
    assert torch.equal(network(rows), rows)
    assert make(residual=False).scale is None


def test_dropout_is_the_probability_of_zero():
    network = make(dropout=0.25)
    (dropout,) = (layer for layer in network.layers if isinstance(layer, nn.Dropout))
    assert dropout.p == 0.25


@pytest.mark.parametrize("norm", ["batch", "layer", None])
def test_one_row_in_training(norm):
    network = make(norm=norm, input_noise=0.0)
    row = torch.ones(1, 6)
    if norm == "batch":
        with pytest.raises(ValueError, match=r"at least two rows .* drop_last=True .* norm='layer', or head\.eval\(\)"):
            network(row)
    assert network.eval()(row).shape == (1, 6)
    if norm != "batch":
        assert network.train()(row).shape == (1, 6)


def test_frozen_statistics_take_one_row_in_training():
    network = make(input_noise=0.0)
    network.layers[1].eval()
    assert network(torch.ones(1, 6)).shape == (1, 6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"norm": "group"}, "`norm` must be one of 'batch', 'layer', None, got 'group'"),
        ({"depth": 0}, "`depth` must be at least 1, got 0"),
        ({"hidden_features": 0}, "`hidden_features` must be at least 1, got 0"),
        ({"depth": 2**63}, "`depth` must be at most 1000, got"),
        ({"hidden_features": 2**63}, "`hidden_features` must be at most 2147483647, got"),
        ({"input_noise": -1}, r"`input_noise` must be in \[0, inf\), got -1"),
        ({"normalize": "l1"}, "`normalize` must be one of 'l2', None, got 'l1'"),
        ({"dropout": 1.5}, r"`dropout` must be in \[0, 1\], got 1.5"),
        ({"dropout": -0.5}, r"`dropout` must be in \[0, 1\], got -0.5"),
    ],
)
def test_bad_settings(settings, message):
    for head in (NMTune, MLPProbe):
        with pytest.raises(ValueError, match=message):
            head(6, 3, generator=generator(), **settings)


def test_linear_begins_as_torch_s_own():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        ours = linear(40, 30, None)
        torch.manual_seed(5)
        theirs = nn.Linear(40, 30)
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict())


@pytest.mark.parametrize(("init", "bound"), [("linear", math.sqrt(1 / 50)), ("kaiming", math.sqrt(6 / 50))])
def test_classifier_begins_uniform_with_zero_bias(init: str, bound: float):
    layer = classifier(50, 200, init, generator())
    assert torch.equal(layer.bias, torch.zeros(200))
    assert layer.weight.abs().max() <= bound
    assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.02)


def test_classifier_inits_are_those_of_torch():
    for init, theirs in [
        ("kaiming", lambda: nn.init.kaiming_uniform_(torch.empty(20, 50))),
        ("linear", lambda: nn.Linear(50, 20).weight.detach()),
    ]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(5)
            ours = classifier(50, 20, init, None).weight.detach()
            torch.manual_seed(5)
            torch.testing.assert_close(ours, theirs())
