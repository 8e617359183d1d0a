from __future__ import annotations

from contextlib import contextmanager

import pytest
import torch

from noisymodel import LinearProbe, MLPProbe, NMTune
from noisymodel._random import seeded
from noisymodel.heads import PRESETS
from noisymodel.heads.randomness import Draws, Dropout, InputNoise, draws_by_itself, random_layers


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@contextmanager
def drawing(module, count, source, like):
    draws = Draws(module)
    with draws.cleared():
        draws.next(count, source, like)
        yield


def rows(count=5000, features=8):
    return torch.randn(count, features, generator=generator(1)) * 3


def test_noise_is_in_units_of_the_rows_and_of_a_chance_for_each():
    layer, features = InputNoise(8, 0.5), rows()
    features[0] = 0
    with drawing(layer, len(features), generator(), features):
        noise = layer(features) - features
    assert torch.equal(noise[0], torch.zeros(8))
    units = noise[1:] / features[1:].square().mean(1, keepdim=True).sqrt() / 0.5
    lengths = units.square().mean(1).sqrt()
    assert units.mean().item() == pytest.approx(0, abs=0.02)
    assert units.square().mean().item() == pytest.approx(1 / 3, rel=0.05)  # E[u²]
    assert lengths.min() < 0.1
    assert lengths.max() > 1


def test_noise_and_dropout_are_for_training_alone():
    features = rows(16)
    head = NMTune(8, 3, dropout=0.5, generator=generator())
    with seeded(0):
        assert not torch.equal(head(features), head(features))
        assert torch.equal(head.eval()(features), head(features))
    assert layers_of(NMTune(8, 3, input_noise=0.0, generator=generator())) == []
    assert layers_of(MLPProbe(8, 3, generator=generator())) == []
    assert all(preset["input_noise"] == 0 for preset in PRESETS.values())


def layers_of(head):
    return [type(layer).__name__ for layer in random_layers(head).values()]


def test_what_is_drawn_comes_from_the_generator_whatever_the_defaults():
    head = NMTune(8, 3, depth=2, dropout=0.5, generator=generator())
    assert layers_of(head) == ["InputNoise", "Dropout", "Dropout"]
    layers = list(random_layers(head).values())
    features = rows(16)
    before = torch.random.get_rng_state()

    def drawn(seed):
        with drawing(head, 16, generator(seed), features):
            return [layer.drawn for layer in layers], head(features).detach()

    values, logits = drawn(0)
    assert all(layer.drawn is None for layer in layers)
    head.network.layers[1].reset_running_stats()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"):
            again, other = drawn(0), drawn(1)
    finally:
        torch.set_default_dtype(torch.float32)
    for one, two, three in zip(values, again[0], other[0], strict=True):
        assert torch.equal(one, two)
        assert not torch.equal(one, three)
    assert torch.equal(logits, again[1])
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("p", [0.25, 1.0])
def test_dropout_keeps_the_mean_and_is_torch_s_elsewhere(p):
    layer, ones = Dropout(100, p), torch.ones(400, 100)
    with drawing(layer, 400, generator(), ones):
        out = layer(ones)
    assert out.unique().tolist() == pytest.approx([0.0, 1 / (1 - p)] if p < 1 else [0.0])
    assert out.mean().item() == pytest.approx(1.0 if p < 1 else 0.0, abs=0.02)
    assert torch.equal(layer.eval()(ones), ones)
    with seeded(3):
        own = layer.train()(ones)
    with seeded(3):
        assert torch.equal(own, torch.nn.functional.dropout(ones, p))


def test_nothing_drawn_is_saved():
    head = NMTune(8, 3, dropout=0.5, generator=generator())
    with drawing(head, 4, generator(), rows(4)):
        assert not any("drawn" in name for name in head.state_dict())


def test_consistency_compares_with_the_clean_features():
    features = rows(16)
    head = NMTune(8, 3, norm=None, residual=True, generator=generator())
    head.network.become_identity()
    with drawing(head, 16, generator(), features):
        noisy = head.loss(features, torch.arange(16) % 3)
    assert noisy.consistency > 0.05
    assert head.eval().loss(features, torch.arange(16) % 3).consistency < 1e-6


def test_who_draws_by_itself():
    class Unknown(torch.nn.Module):
        pass

    for head in (NMTune(8, 3, dropout=0.5, generator=generator()), LinearProbe(8, 3, generator=generator())):
        assert not draws_by_itself(head)
    for part in (torch.nn.Dropout(0.1), Unknown()):
        head = MLPProbe(8, 3, generator=generator())
        head.network.layers.append(part)
        assert draws_by_itself(head)
