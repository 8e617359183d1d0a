"""Losses of a batch against plain sums, and what is measured in the end."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from noisymodel._random import tensor_generator
from noisymodel.study.pretraining import measures, untrained
from noisymodel.study.pretraining.corruption import noisy_captions, noisy_labels, noisy_tokens
from noisymodel.study.pretraining.objectives import Batch, Contrastive, MaskedToken, Supervised, masked
from study.pretraining.tiny_requests import VOCABULARY, pictures, request, texts


def batch(step: int = 3) -> Batch:
    return Batch(torch.tensor([3, 17, 0, 8, 11]), step, torch.device("cpu"), None)


def test_supervised_loss() -> None:
    asked = request(architecture="vit")
    network, images = untrained(asked), torch.from_numpy(pictures().inputs)
    labels = noisy_labels(asked, 0.3)
    logits = network(images).double().log_softmax(1)
    expected = -np.mean([logits[index, labels[index]].item() for index in (3, 17, 0, 8, 11)])
    assert Supervised(asked, 0.3).loss(network, batch()).item() == pytest.approx(expected, rel=1e-5)
    assert (labels != pictures().labels).any()


def test_contrastive_loss() -> None:
    asked = request("contrastive", "vit", temperature=0.2)
    network = untrained(asked)
    chosen = [3, 17, 0, 8, 11]
    images, captions = torch.from_numpy(pictures().inputs), torch.from_numpy(noisy_captions(asked, 0.3))
    a = network.projection(network.features(images[chosen])).double()
    b = network.caption_projection(network.captions(captions[chosen])).double()
    cosines = (a / a.norm(dim=1, keepdim=True)) @ (b / b.norm(dim=1, keepdim=True)).T
    total = 0.0
    for i in range(5):
        for row in (cosines[i], cosines[:, i]):
            scores = (row / 0.2).exp()
            total -= (scores[i] / scores.sum()).log().item() / 10
    assert Contrastive(asked, 0.3).loss(network, batch()).item() == pytest.approx(total, rel=1e-5)
    assert not torch.equal(captions, torch.from_numpy(pictures().captions))


def test_temperature_is_learned_and_bounded() -> None:
    asked = request("contrastive", "vit", temperature=0.001)
    network = untrained(asked)
    embedded = network(torch.from_numpy(pictures().inputs), torch.from_numpy(pictures().captions))
    assert embedded.scale.item() == pytest.approx(100)
    with torch.no_grad():
        network.log_scale.fill_(1.0)
    Contrastive(asked, 0.0).loss(network, batch()).backward()
    assert network.log_scale.grad.abs() > 0


def test_masked_token_loss() -> None:
    asked = request("masked_token", "transformer")
    network, noisy = untrained(asked), torch.from_numpy(noisy_tokens(asked, 0.3))
    chosen = noisy[[3, 17, 0, 8, 11]]
    where = masked(chosen, VOCABULARY, 0.4, tensor_generator(1, 0x6D61736B, 3))
    hidden = chosen.clone()
    hidden[where] = VOCABULARY
    states = network.decoder(network.backbone.states(hidden)).double().log_softmax(2)
    losses = [-states[i, j, chosen[i, j]].item() for i in range(5) for j in range(5) if where[i, j]]
    objective = MaskedToken(asked, 0.3)
    assert 0 < len(losses) < 25
    assert objective.loss(network, batch()).item() == pytest.approx(np.mean(losses), rel=1e-5)
    assert objective.loss(network, batch(step=4)).item() != pytest.approx(np.mean(losses), rel=1e-3), "other masks"
    assert torch.isfinite(
        MaskedToken(request("masked_token", "transformer", mask_share=1e-9), 0.3).loss(network, batch())
    )


def test_masks_leave_padding_and_noise_alone() -> None:
    tokens = torch.tensor([[1, 2, 0], [VOCABULARY, 3, 0]]).repeat(500, 1)
    where = masked(tokens, VOCABULARY, 0.3, tensor_generator(0))
    assert not where[tokens == 0].any()
    assert not where[tokens == VOCABULARY].any()
    assert where[(tokens != 0) & (tokens != VOCABULARY)].double().mean().item() == pytest.approx(0.3, abs=0.03)


def test_measures_of_a_classifier() -> None:
    asked = request(architecture="vit", rates=(0.0, 0.4))
    network, check = untrained(asked).eval(), pictures(15, seed=5)
    images, held = torch.from_numpy(asked.examples.inputs), torch.from_numpy(check.inputs)
    for rate in asked.noise_rates:
        given = torch.from_numpy(noisy_labels(asked, rate))
        assert measures(asked, rate, network, check) == {
            "noisy_label_fit": (network(images).argmax(1) == given).double().mean().item(),
            "clean_accuracy": (network(held).argmax(1) == torch.from_numpy(check.labels)).double().mean().item(),
        }


def test_retrieval_counts_equal_captions_as_one() -> None:
    asked = request("contrastive", "vit")
    network, check = untrained(asked).eval(), pictures(40, seed=5)
    captions = torch.from_numpy(check.captions)
    cosines = network.embed_pictures(torch.from_numpy(check.inputs)) @ network.embed_captions(captions).T
    right = [torch.equal(captions[row.argmax()], captions[index]) for index, row in enumerate(cosines)]
    assert measures(asked, 0.3, network, check) == {"retrieval_accuracy": pytest.approx(np.mean(right))}
    assert 0 < np.mean(right) < 1


def test_masked_tokens_are_asked_for_at_the_same_places_of_all() -> None:
    asked = request("masked_token", "transformer")
    network, check = untrained(asked).eval(), texts(30, seed=5)
    first = measures(asked, 0.3, network, check)
    assert first == measures(asked, 0.0, network, check)
    tokens = torch.from_numpy(check.inputs)
    where = masked(tokens, VOCABULARY, 0.4, tensor_generator(1, 0x6D61736B, 2**31))
    logits = network.decoder(network.backbone.states(tokens.masked_fill(where, VOCABULARY)))
    right = logits.argmax(2)[where] == tokens[where]
    assert first == {"masked_token_accuracy": right.double().mean().item()}
