"""What a head learns or is judged by is checked alike, before anything is trained."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from noisymodel import NMTune, fit

FEATURES = torch.randn(40, 8, generator=torch.Generator().manual_seed(0)) * 100
TARGETS = torch.arange(40) % 3


def new(**settings):
    return NMTune(8, 3, generator=torch.Generator().manual_seed(0), **settings)


BAD_TARGETS = [
    (torch.full((40, 3), -7.0), "must be class probabilities, not negative and with rows of sum 1"),
    (torch.tensor([[2.0, -1.0, 0.0]]).expand(40, 3), "must be class probabilities"),
    (torch.randn(40, 3, generator=torch.Generator().manual_seed(0)), r"torch\.softmax makes probabilities of logits"),
    (torch.full((40, 3), torch.nan), "must be class probabilities"),
    (torch.full((40,), -100), "must have class ids, got -100 alone"),
    (TARGETS - 1, r"must be class ids in \[0, 3\), got ids from -1 to 1"),
    (
        torch.full((40,), 2**64 - 100, dtype=torch.uint64),
        r"must be class ids in \[0, 3\), got ids from 18446744073709551516",
    ),
    ([2**70] * 40, "must be integer class ids or class probabilities, got object"),
    ([[1], [1, 2]] * 20, "must be integer class ids or class probabilities"),
    (["a"] * 40, "must be integer class ids or class probabilities"),
    (None, "must be integer class ids or class probabilities"),
    (TARGETS.to_sparse(), "must be dense"),
    (TARGETS.to("meta"), "must have values, got a tensor on the meta device"),
    (TARGETS + 0j, "must be integer class ids"),
]


@pytest.mark.parametrize("judged", [False, True])
def test_targets(judged):
    for targets, message in BAD_TARGETS:
        name = "validation targets" if judged else "targets"
        options = {"validation": (FEATURES, targets)} if judged else {}
        with pytest.raises((TypeError, ValueError), match=f"`{name}` .*{message}"):
            fit(new(), FEATURES, TARGETS if judged else targets, epochs=1, **options)


def test_soft_targets_are_taken_as_they_come():
    half = torch.nn.functional.one_hot(TARGETS, 3).to(torch.float16) * 0.7 + 0.1
    for targets in (half, half.bfloat16(), half.double().softmax(1), half.float().numpy()):
        assert fit(new(), FEATURES, targets, epochs=1, seed=0).history[-1]["train_task"] > 0


def test_features_and_weights():
    for features, message in (
        (FEATURES.to_sparse(), "`features` must be dense"),
        (FEATURES.to("meta"), "`features` must have values"),
        (FEATURES + 0j, "`features` must be floating point"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            fit(new(), features, TARGETS, epochs=1)
    for weight, message in (
        (["a"] * 40, "`sample_weight` must be numbers"),
        (object(), "`sample_weight` must be numbers"),
        (torch.ones(40).to_sparse(), "`sample_weight` must be dense"),
        (torch.ones(40, device="meta"), "`sample_weight` must have values"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            fit(new(), FEATURES, TARGETS, epochs=1, sample_weight=weight)
    with pytest.raises(ValueError, match=r"the validation loss is nan in epoch 1.*features of `validation`"):
        fit(new(), FEATURES, TARGETS, epochs=1, validation=(FEATURES * torch.nan, TARGETS))


def test_rows_without_a_class_are_not_judged():
    missing = torch.where(torch.arange(40) < 10, -100, TARGETS)
    head, history = fit(new(), FEATURES, missing, epochs=2, seed=0, validation=(FEATURES, missing))
    logits = head(FEATURES[10:])
    expected = torch.nn.functional.cross_entropy(logits, TARGETS[10:]).item()
    assert history[-1]["validation_loss"] == pytest.approx(expected, rel=1e-5)
    assert history[-1]["validation_accuracy"] == pytest.approx((logits.argmax(1) == TARGETS[10:]).float().mean().item())


@pytest.mark.filterwarnings("ignore:the weighted")
def test_divergence_is_the_documented_error():
    message = r"the training loss is (nan|inf) in epoch \d+: look for NaN or infinity in `features`, or lower"
    for settings, scale, rate in (({"normalize": None, "norm": None, "residual": True}, 1e20, 1e-3), ({}, 1.0, 1e25)):
        with pytest.raises(ValueError, match=message):
            fit(new(**settings), FEATURES * scale, TARGETS, epochs=20, seed=0, learning_rate=rate)


def test_a_regularizer_that_dwarfs_the_task_is_told_once():
    with pytest.warns(UserWarning, match=r"the weighted covariance term is .* Normalise the rows") as told:
        fit(new(normalize=None, norm=None), FEATURES * 10, TARGETS, epochs=2, seed=0)
    assert len(told) == 1
    fit(new(), FEATURES * 1e4, np.asarray(TARGETS), epochs=1, seed=0)
