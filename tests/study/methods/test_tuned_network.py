"""The head that contains the network: what is trained, what is not, and what its loss adds up to."""

from __future__ import annotations

import copy
import sys

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from noisymodel import fit
from noisymodel._random import tensor_generator
from noisymodel.baselines import batch_spectral_shrinkage, embedding_distortion
from noisymodel.errors import MissingExtraError
from noisymodel.losses import nmtune_regularization
from noisymodel.objective import NMTuneLoss
from noisymodel.study.config import PretrainingConfig
from noisymodel.study.data import Examples
from noisymodel.study.methods.tuned_network import (
    TunedNetwork,
    moved_embeddings,
    small_spectrum,
    towards_the_start,
    with_lora,
)
from noisymodel.study.pretraining import Network, PretrainingRequest, untrained
from reference import neighbours

PIXELS, WIDTH, CLASSES = 9, 6, 3


@pytest.fixture
def network() -> Network:
    examples, config = (
        Examples(np.zeros((1, 3, 3), np.float32), np.zeros(1, np.int64)),
        PretrainingConfig(widths=(8, WIDTH)),
    )
    asked = PretrainingRequest("supervised", "mlp", "symmetric", (0.0,), examples, seed=0, classes=4, config=config)
    network = untrained(asked)
    network(pixels(50).view(-1, 3, 3))  # running statistics of its own
    return network.eval().requires_grad_(False)


def pixels(count: int, seed: int = 0) -> Tensor:
    return torch.rand(count, PIXELS, generator=tensor_generator(seed))


def labels(count: int) -> Tensor:
    return torch.arange(count) % CLASSES


def generator() -> torch.Generator:
    return tensor_generator(1)


def test_starts_as_the_pretrained_network_and_trains_a_copy(network: Network) -> None:
    before = copy.deepcopy(network.state_dict())
    head = TunedNetwork(network, CLASSES, generator=generator())
    images = pixels(20)
    assert (head.in_features, head.num_classes) == (PIXELS, CLASSES)
    assert head.classifier.weight.shape == (CLASSES, WIDTH)
    assert torch.equal(head.eval().tune(images), network.features(images.view(-1, 3, 3)))
    assert torch.equal(head(images), head.classifier(head.tune(images)))
    fit(head, images, labels(20), epochs=2, batch_size=8, seed=0)
    torch.testing.assert_close(network.state_dict(), before, rtol=0, atol=0)
    assert torch.equal(head.pretrained_features(images), network.features(images.view(-1, 3, 3)))
    for name, value in head.network.backbone.state_dict().items():
        assert not torch.equal(value, before[f"backbone.{name}"]), name
    assert not any("pretrained" in name for name in head.state_dict())


def test_plain_loss_is_the_task_s(network: Network) -> None:
    head = TunedNetwork(network, CLASSES, generator=generator()).eval()
    terms = head.loss(pixels(10), labels(10))
    expected = nn.functional.cross_entropy(head(pixels(10)), labels(10))
    torch.testing.assert_close(terms.total, expected)
    assert terms.total == terms.task
    assert head.smallest_batch == 2
    with pytest.raises(ValueError, match=r"`features` must have 9 features in the last dimension"):
        head(torch.zeros(2, 8))


def test_penalty_is_added_with_its_weight(network: Network) -> None:
    penalties = [
        towards_the_start(network, alpha=0.3, beta=0.2),
        small_spectrum(weight=0.5, num_smallest=2),
        moved_embeddings(weight=0.7),
    ]
    images = pixels(12)
    plain = TunedNetwork(network, CLASSES, generator=generator()).eval()
    fit(plain, images, labels(12), epochs=3, seed=0)  # away from the start
    values = []
    for penalty in penalties:
        head = TunedNetwork(network, CLASSES, penalty=penalty, generator=generator()).eval()
        head.load_state_dict(plain.state_dict())
        terms = head.loss(images, labels(12))
        values.append((terms.total - terms.task).item())
        assert terms.task == plain.loss(images, labels(12)).task
    embedded, before = plain.network.backbone(images).detach(), network.features(images.view(-1, 3, 3))
    arrays = {name: value.detach().numpy() for name, value in plain.named_parameters()}
    start = {f"network.backbone.{name}": value.numpy() for name, value in network.backbone.named_parameters()}
    expected = [
        neighbours.l2_sp(arrays, start, 0.3, 0.2),
        0.5 * batch_spectral_shrinkage(embedded, num_smallest=2).item(),
        0.7 * embedding_distortion(embedded, before).item(),
    ]
    assert min(expected) > 0
    assert values == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("with_reference", [False, True])
def test_regularized_network_has_nmtune_s_terms(network: Network, with_reference: bool) -> None:
    weights = {"consistency_weight": 1.0, "covariance_weight": 0.04, "dominant_weight": 0.001}
    weights |= {"top_k": 5, "reduction": "mean"}
    head = TunedNetwork(
        network,
        CLASSES,
        after=nn.Hardtanh() if with_reference else None,
        objective=NMTuneLoss(**weights),
        generator=generator(),
    ).eval()
    images = pixels(12)
    with torch.no_grad():
        head.network.backbone[0].weight.mul_(torch.linspace(-1, 1, PIXELS))  # away from the start
    terms = head.loss(images, labels(12))
    tuned = head.network.backbone(images)
    reference = network.features(images.view(-1, 3, 3)) if with_reference else None
    expected = nmtune_regularization(tuned.clamp(-1, 1) if with_reference else tuned, reference, **weights)
    torch.testing.assert_close(terms[2:], expected[2:])
    torch.testing.assert_close(terms.total, terms.task + expected.total)
    assert (terms.consistency.item() > 0) is with_reference
    assert head.smallest_batch == 5


def test_lora_trains_adapters_alone_and_starts_as_the_network(network: Network) -> None:
    pytest.importorskip("peft")
    backbone, again = (with_lora(network, rank=2, alpha=4, generator=generator()) for _ in range(2))
    torch.testing.assert_close(backbone.state_dict(), again.state_dict(), rtol=0, atol=0)
    head = TunedNetwork(network, CLASSES, backbone=backbone, generator=generator())
    images = pixels(20)
    assert torch.equal(head.eval().tune(images), network.features(images.view(-1, 3, 3)))
    trained = {name for name, parameter in head.named_parameters() if parameter.requires_grad}
    assert {name.split(".")[-1] for name in trained - {n for n in trained if "lora" in n}} == {"weight", "bias"}
    assert len(trained) == 2 * 2 + 2, "A and B of two layers, and the classifier"
    before = copy.deepcopy(head.state_dict())
    fit(head, images, labels(20), epochs=2, batch_size=8, seed=0)
    changed = {name for name, value in head.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == trained, "neither weights nor BatchNorm's statistics of the network move"
    first = head.network.backbone.module[0]
    a, b = first.lora_A["default"].weight, first.lora_B["default"].weight
    assert a.shape == (2, PIXELS)
    merged = network.backbone[0].weight + 4 / 2 * b @ a
    torch.testing.assert_close(first(images), images @ merged.T)


def test_lora_without_peft_names_the_extra(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingExtraError, match=r"`peft` is needed for LoRA in the study: .*noisymodel\[peft\]"):
        with_lora(network, rank=2, alpha=4, generator=generator())
