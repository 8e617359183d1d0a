"""The training loop: against the plainest loop there is, its randomness, and where it must stop."""

from __future__ import annotations

import dataclasses
import importlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from noisymodel._random import tensor_generator
from noisymodel.errors import ConfigError, StudyError
from noisymodel.study.pretraining import PretrainingRequest, measures, pretrain, untrained
from noisymodel.study.pretraining.corruption import noisy_labels
from noisymodel.study.pretraining.objectives import OBJECTIVE, Batch
from study.pretraining.tiny_requests import pictures, request, texts

CASES = [
    ("supervised", "resnet"),
    ("supervised", "vit"),
    ("supervised", "transformer"),
    ("contrastive", "vit"),
    ("contrastive", "mlp"),
    ("masked_token", "transformer"),
]


def naive(asked: PretrainingRequest, rate: float) -> nn.Module:
    """One network in the plainest loop."""
    config, count = asked.config, len(asked.examples.labels)
    network, objective = untrained(asked), OBJECTIVE[asked.objective](asked, rate)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1.0, weight_decay=config.weight_decay)
    generator = tensor_generator(asked.seed, 1)
    per_epoch, step = math.ceil(count / config.batch_size), 0
    for _ in range(config.epochs):
        order = torch.randperm(count, generator=generator)
        for start in range(0, count, config.batch_size):
            warm = min(1.0, (step + 1) / (config.warmup * per_epoch)) if config.warmup else 1.0
            decay = (1 + math.cos(math.pi * step / (config.epochs * per_epoch))) / 2
            optimizer.param_groups[0]["lr"] = config.learning_rate * warm * decay
            chosen = order[start : start + config.batch_size]
            loss = objective.loss(network, Batch(chosen, step, torch.device("cpu"), None))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
    return network.eval()


def same_weights(one: Any, other: Any) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize(("objective", "architecture"), CASES)
def test_as_the_plainest_loop(objective: str, architecture: str) -> None:
    asked = request(objective, architecture, rates=(0.0, 0.3), warmup=1.5)
    trained = pretrain(asked)
    for index, rate in enumerate((0.0, 0.3)):
        expected = naive(asked, rate).state_dict()
        for name, value in trained.states[index].items():
            torch.testing.assert_close(value, expected[name], rtol=1e-3, atol=1e-5, msg=name)
    start = trained.network.state_dict()
    assert not same_weights(trained.states[0], start)
    assert not same_weights(trained.states[0], trained.states[1]), "networks differ by the noise alone"
    assert same_weights(pretrain(asked).states[1], trained.states[1])


def test_the_batched_networks_are_those_of_the_loop() -> None:
    asked = request(architecture="mlp", rates=(0.0, 0.3))
    together = pretrain(asked)
    lazy = Lazy(asked.examples.inputs)
    alone = pretrain(dataclasses.replace(asked, examples=asked.examples._replace(inputs=lazy)))
    assert alone.network.name == together.network.name == "mlp-64-12-6"
    for one, other in zip(together.states, alone.states, strict=True):
        torch.testing.assert_close(one, dict(other), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    "change",
    [{"warmup": 0.0}, {"learning_rate": 1e-3}, {"weight_decay": 0.5}, {"batch_size": 5}, {"epochs": 1}],
    ids=str,
)
def test_every_setting_reaches_the_training(change: dict[str, float]) -> None:
    plain, changed = request(architecture="vit"), request(architecture="vit", **change)
    expected = naive(changed, 0.3).state_dict()
    got = pretrain(changed).states[0]
    torch.testing.assert_close(dict(got), dict(expected), rtol=1e-3, atol=1e-5)
    assert not torch.allclose(got["classifier.weight"], pretrain(plain).states[0]["classifier.weight"], atol=1e-4)
    other = request(architecture="vit", overrides={"vit": change})
    assert same_weights(pretrain(other).states[0], got)


def test_learning() -> None:
    pairs, sentences = pictures(60), texts(60)
    for asked, check, metric, least in (
        (request(architecture="resnet", examples=pairs, epochs=12), pictures(30, seed=9), "clean_accuracy", 0.8),
        (request(architecture="vit", examples=pairs, epochs=12), pictures(30, seed=9), "clean_accuracy", 0.8),
        (
            request("contrastive", "resnet", examples=pairs, epochs=20),
            pictures(30, seed=9),
            "retrieval_accuracy",
            0.3,
        ),
        (
            request("masked_token", "transformer", examples=sentences, epochs=60, learning_rate=1e-2),
            texts(30, seed=9),
            "masked_token_accuracy",
            0.3,
        ),
    ):
        asked = dataclasses.replace(asked, noise_rates=(0.0,))
        got = measures(asked, 0.0, pretrain(asked).one(0), check)[metric]
        assert got > least, (asked.objective, asked.architecture, got)


class Lazy:
    """Pictures that are made when asked for, and know how many at once."""

    def __init__(self, images: Any) -> None:
        self.images, self.shape, self.largest = images, images.shape, 0

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        self.largest = max(self.largest, len(indices))
        return self.images[indices]


def test_pictures_are_decoded_batch_by_batch() -> None:
    asked = request(architecture="resnet")
    lazy = Lazy(asked.examples.inputs)
    trained = pretrain(dataclasses.replace(asked, examples=asked.examples._replace(inputs=lazy)))
    assert same_weights(trained.states[0], pretrain(asked).states[0])
    assert lazy.largest == 8


class Noisy(nn.Module):
    """Dropout that draws from torch's global generator, as in the models of libraries."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.drawn = nn.Linear(64, 6), []

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.drawn.append(torch.rand(1).item())
        return nn.functional.dropout(self.inner(rows), 0.5, self.training)


def test_dropout_follows_from_seed_and_step(monkeypatch: pytest.MonkeyPatch) -> None:
    run = importlib.import_module("noisymodel.study.pretraining.pretrain")

    seen: list[Noisy] = []

    def build(asked: PretrainingRequest) -> nn.Module:
        network = untrained(asked)
        with torch.random.fork_rng():
            network.backbone = Noisy()
        with torch.no_grad():
            network.backbone.inner.weight.copy_(torch.linspace(-1, 1, 6 * 64).view(6, 64))
            network.backbone.inner.bias.zero_()
        seen.append(network.backbone)
        return network

    monkeypatch.setattr(run, "untrained", build)
    monkeypatch.setattr(run.copy, "deepcopy", lambda network: network)
    one, again, other = (pretrain(request(seed=seed)).states[0] for seed in (1, 1, 2))
    assert same_weights(one, again)
    assert not same_weights(one, other)
    assert seen[0].drawn == seen[1].drawn
    assert len(set(seen[0].drawn)) == 6, "each step has its own"


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_what_is_not_finite_stops_the_run(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = OBJECTIVE["supervised"].loss

    def loss(self: Any, network: nn.Module, batch: Batch) -> torch.Tensor:
        value = original(self, network, batch)
        if batch.step < 4:
            return value
        if what == "loss":
            return value * math.inf
        return value + (network.classifier.weight * 0).sqrt().sum()

    monkeypatch.setattr(OBJECTIVE["supervised"], "loss", loss)
    asked = request(rates=(0.3,), checkpoints=tmp_path, checkpoint_steps=3)
    saved = tmp_path / "rate-0.3.safetensors"
    with pytest.raises(
        StudyError,
        match=rf"at the noise rate 0\.3 stopped in step 4 of 6: .* at the learning rate 0\.0005; the checkpoint before "
        rf"it is {saved} \(step 3\); lower `pretraining\.learning_rate`",
    ):
        pretrain(asked)
    assert all(value.isfinite().all() for value in load_file(saved).values() if value.is_floating_point())
    with pytest.raises(StudyError, match="no checkpoint was asked for"):
        pretrain(dataclasses.replace(asked, checkpoints=None))


def test_a_loss_that_is_not_finite_stops_batched_networks() -> None:
    images = pictures().inputs.copy()
    images[3, 0, 0] = np.nan
    asked = request(architecture="mlp", rates=(0.0, 0.3), examples=pictures()._replace(inputs=images))
    with pytest.raises(StudyError, match="pre-training at one of its noise rates stopped in step"):
        pretrain(asked)


def test_devices() -> None:
    with pytest.raises(ConfigError, match=r"`pretraining\.device`: .*gpu"):
        pretrain(request(device="gpu"))
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match=r"`pretraining\.device`: 'cuda', but torch has no such device here"):
            pretrain(request(device="cuda"))
    assert noisy_labels(request(), 0.0).tolist() == pictures().labels.tolist()
