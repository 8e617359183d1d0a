"""Pre-training: networks trained together are the networks trained alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from noisymodel import noise
from noisymodel.study import PretrainingConfig
from noisymodel.study.data import Examples, Glyphs
from noisymodel.study.pretraining import ClassifyingNetwork, Pretrained, PretrainingRequest, untrained
from noisymodel.study.pretraining.batched import pretrain_together

CONFIG = PretrainingConfig(widths=(24, 12), epochs=3, batch_size=50, warmup=1.5)


def network_of(config: PretrainingConfig, seed: int) -> ClassifyingNetwork:
    """At its initial values, for pictures of 16 × 16 pixels in ten classes."""
    examples = Examples(np.zeros((1, 16, 16), np.float32), np.zeros(1, np.int64))
    return untrained(PretrainingRequest("supervised", "mlp", "symmetric", (0.0,), examples, seed, 10, config=config))


def together(images: torch.Tensor, labels: torch.Tensor, config: PretrainingConfig, seed: int) -> Pretrained:
    return pretrain_together(network_of(config, seed), images, labels, config, seed=seed)


def labels_at(rates: tuple[float, ...], labels: np.ndarray) -> torch.Tensor:
    noisy = [np.asarray(noise.symmetric(labels, rate, num_classes=10, seed=5).labels) for rate in rates]
    return torch.from_numpy(np.stack(noisy))


@pytest.fixture(scope="module")
def pictures() -> tuple[torch.Tensor, np.ndarray]:
    part = Glyphs(seed=2, pretraining_images=420).pretraining()
    return torch.from_numpy(part.inputs), part.labels


@pytest.fixture(scope="module")
def trained(pictures: tuple[torch.Tensor, np.ndarray]) -> Pretrained:
    return together(pictures[0], labels_at((0.0, 0.3), pictures[1]), CONFIG, seed=9)


def naive(images: torch.Tensor, labels: torch.Tensor, config: PretrainingConfig, seed: int) -> ClassifyingNetwork:
    """One network in the plainest loop there is."""
    from noisymodel._random import tensor_generator

    network = network_of(config, seed)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1.0, weight_decay=config.weight_decay)
    generator = tensor_generator(seed, 1)
    per_epoch = math.ceil(len(images) / config.batch_size)
    step = 0
    for _ in range(config.epochs):
        order = torch.randperm(len(images), generator=generator)
        for start in range(0, len(images), config.batch_size):
            chosen = order[start : start + config.batch_size]
            warm = min(1.0, (step + 1) / (config.warmup * per_epoch)) if config.warmup else 1.0
            decay = (1 + math.cos(math.pi * step / (config.epochs * per_epoch))) / 2
            optimizer.param_groups[0]["lr"] = config.learning_rate * warm * decay
            loss = nn.functional.cross_entropy(network(images[chosen]), labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
    return network.eval()


@pytest.mark.parametrize("index", [0, 1])
def test_together_is_as_alone(pictures: tuple[torch.Tensor, np.ndarray], trained: Pretrained, index: int) -> None:
    images, labels = pictures
    alone = naive(images, labels_at((0.0, 0.3), labels)[index], CONFIG, seed=9)
    torch.testing.assert_close(trained.one(index).features(images), alone.features(images), rtol=1e-3, atol=1e-4)
    for name, value in alone.state_dict().items():
        torch.testing.assert_close(trained.states[index][name], value, rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.parametrize(
    "change",
    [
        {"warmup": 0.0},
        {"learning_rate": 1e-3},
        {"weight_decay": 0.5},
        {"batch_size": 32},
        {"epochs": 2},
        {"classifier_init": "kaiming"},
    ],
    ids=str,
)
def test_every_setting_reaches_the_training(
    pictures: tuple[torch.Tensor, np.ndarray], trained: Pretrained, change: dict[str, float]
) -> None:
    images, labels = pictures
    config = PretrainingConfig(**{"widths": (24, 12), "epochs": 3, "batch_size": 50, "warmup": 1.5, **change})
    noisy = labels_at((0.0,), labels)
    other = together(images, noisy, config, seed=9)
    alone = naive(images, noisy[0], config, seed=9)
    torch.testing.assert_close(other.one(0).features(images), alone.features(images), rtol=1e-3, atol=1e-4)
    assert not torch.allclose(other.one(0).features(images), trained.one(0).features(images), atol=1e-2)


def test_same_seed_same_networks_to_the_bit(pictures: tuple[torch.Tensor, np.ndarray], trained: Pretrained) -> None:
    again = together(pictures[0], labels_at((0.0, 0.3), pictures[1]), CONFIG, seed=9)
    other = together(pictures[0], labels_at((0.0, 0.3), pictures[1]), CONFIG, seed=10)
    for index in (0, 1):
        for name, value in trained.states[index].items():
            assert torch.equal(value, again.states[index][name]), name
    assert not torch.equal(trained.states[0]["classifier.weight"], other.states[0]["classifier.weight"])


def test_networks_start_equal_and_differ_by_labels_alone(
    pictures: tuple[torch.Tensor, np.ndarray], trained: Pretrained
) -> None:
    twice = together(pictures[0], labels_at((0.0, 0.0), pictures[1]), CONFIG, seed=9)
    torch.testing.assert_close(twice.states[0], twice.states[1])
    assert not torch.allclose(trained.states[0]["classifier.weight"], trained.states[1]["classifier.weight"])


def test_pretraining_learns(pictures: tuple[torch.Tensor, np.ndarray], trained: Pretrained) -> None:
    images, labels = pictures
    accuracy = (trained.one(0)(images).argmax(1) == torch.from_numpy(labels)).double().mean().item()
    assert accuracy > 0.3, "chance is 0.1"


def test_a_network_taken_out_is_frozen_and_does_not_touch_the_states(trained: Pretrained) -> None:
    before = trained.states[0]["backbone.0.weight"].clone()
    network = trained.one(0)
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    with torch.no_grad():
        network.backbone[0].weight.zero_()
    assert torch.equal(trained.states[0]["backbone.0.weight"], before)


def test_initial_values() -> None:
    network = network_of(PretrainingConfig(), 1)
    assert network.name == "mlp-256-128-64-64"
    assert network.backbone[0].weight.abs().max().item() == pytest.approx((6 / 256) ** 0.5, rel=1e-2)
    assert network.classifier.weight.abs().max().item() == pytest.approx(1 / 8, rel=2e-2)
    wide = network_of(PretrainingConfig(classifier_init="kaiming"), 1)
    torch.testing.assert_close(wide.classifier.weight, network.classifier.weight * 6**0.5)
    assert network.backbone[0].bias is None
    assert not network.classifier.bias.any()
    features = network.features(torch.rand(5, 16, 16, generator=torch.Generator().manual_seed(0)))
    assert features.shape == (5, 64)
    assert features.min() >= 0
