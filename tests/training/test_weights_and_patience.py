"""Rows that weigh more, and runs that stop early."""

from __future__ import annotations

import functools

import pytest
import torch
from torch.nn import functional

from noisymodel import LinearProbe, MLPProbe, NMTune, NMTuneLoss, fit

D, K = 8, 4


def new(make=NMTune, **settings):
    return make(D, K, generator=torch.Generator().manual_seed(0), **settings)


def same_weights(one, other):
    states = one.state_dict(), other.state_dict()
    return all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("kind", ["ids", "probabilities"])
def test_weighted_loss_is_the_weighted_sum_over_the_count(smoothing, kind, train):
    features, targets = train
    weights = torch.rand(len(targets), generator=torch.Generator().manual_seed(3)) * 3
    head = new(MLPProbe, label_smoothing=smoothing, norm=None)
    logits = head(features)
    given = targets if kind == "ids" else functional.one_hot(targets, K).float()
    each = torch.stack(
        [
            functional.cross_entropy(logits[i : i + 1], given[i : i + 1], label_smoothing=smoothing)
            for i in range(len(targets))
        ]
    )
    terms = head.loss(features, given, sample_weight=weights)
    assert terms.task.item() == pytest.approx((weights * each).sum().item() / len(targets), rel=1e-5)


def test_weights_change_the_task_alone(train):
    features, targets = train
    head = new().eval()
    weights = torch.linspace(0, 2, len(targets))
    plain, weighted = head.loss(features, targets), head.loss(features, targets, sample_weight=weights)
    assert weighted.task.item() != pytest.approx(plain.task.item(), rel=1e-5)
    assert weighted.consistency.item() == pytest.approx(plain.consistency.item(), rel=1e-6)
    assert weighted.covariance.item() == pytest.approx(plain.covariance.item(), rel=1e-6)


def test_weights_of_another_length_are_refused(train):
    features, targets = train
    with pytest.raises(ValueError, match=r"`sample_weight` must have shape \(100,\), got \(3,\)"):
        new(input_noise=0.0).loss(features, targets, sample_weight=torch.ones(3))
    with pytest.raises(ValueError, match=r"`sample_weight` must have shape \(100,\), got \(100, 1\)"):
        fit(new(), features, targets, sample_weight=torch.ones(100, 1))


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_impossible_weights_are_refused(weight, train):
    weights = torch.ones(100)
    weights[7] = weight
    with pytest.raises(ValueError, match="`sample_weight` must be finite, not negative, and not all zero"):
        fit(new(), *train, sample_weight=weights)
    with pytest.raises(ValueError, match="not all zero"):
        fit(new(), *train, sample_weight=torch.zeros(100))


def test_equal_weights_change_nothing(train):
    run = functools.partial(fit, epochs=3, batch_size=16, seed=0)
    plain, weighted = run(new(LinearProbe), *train), run(new(LinearProbe), *train, sample_weight=[2.5] * 100)
    for one, other in zip(plain.head.parameters(), weighted.head.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_rows_without_weight_teach_nothing(train, held_out):
    features, targets = train
    lies = targets.clone()
    lies[50:] = (lies[50:] + 1) % K
    weights = (torch.arange(100) < 50).float()
    run = functools.partial(fit, validation=held_out, epochs=20, batch_size=16, learning_rate=0.05, seed=0)
    believed = run(new(LinearProbe), features, lies).history[-1]["validation_accuracy"]
    ignored = run(new(LinearProbe), features, lies, sample_weight=weights).history[-1]["validation_accuracy"]
    assert ignored > believed + 0.1


def test_a_checkpoint_of_other_weights_is_refused(tmp_path, train):
    run = functools.partial(fit, epochs=2, batch_size=16, seed=0, checkpoint=tmp_path / "run")
    run(new(), *train, sample_weight=torch.linspace(1, 2, 100))
    with pytest.raises(ValueError, match="belongs to a run with other arguments"):
        run(new(), *train, sample_weight=torch.linspace(2, 1, 100))


def best_epoch(history):
    return max(range(len(history)), key=lambda i: (history[i]["validation_accuracy"], -history[i]["validation_loss"]))


@pytest.mark.parametrize("patience", [1, 3])
def test_patience_stops_and_gives_the_best_epoch(patience, train, held_out):
    features = torch.randn(100, D, generator=torch.Generator().manual_seed(9))  # nothing to learn: it soon gets worse
    run = functools.partial(fit, validation=held_out, batch_size=16, learning_rate=0.02, epochs=40, seed=0)
    whole = run(new(MLPProbe), features, train[1])
    stopped = run(new(MLPProbe), features, train[1], patience=patience)
    best = best_epoch(stopped.history)
    assert len(stopped.history) == best + 1 + patience < 40
    assert [r["train_total"] for r in stopped.history] == [
        r["train_total"] for r in whole.history[: best + 1 + patience]
    ]
    with torch.no_grad():
        accuracy = (stopped.head(held_out[0]).argmax(1) == held_out[1]).double().mean().item()
    assert accuracy == pytest.approx(stopped.history[best]["validation_accuracy"])
    assert accuracy > stopped.history[-1]["validation_accuracy"]


def test_patience_resumes_to_the_same_weights(tmp_path, train, held_out, make_source):
    run = functools.partial(fit, validation=held_out, batch_size=16, learning_rate=0.02, epochs=40, seed=0, patience=3)
    rows = torch.randn(100, D, generator=torch.Generator().manual_seed(9)).numpy()
    whole = run(new(MLPProbe), make_source(rows), train[1])
    reads = 7 * (len(whole.history) - 1)
    with pytest.raises(KeyboardInterrupt):
        run(new(MLPProbe), make_source(rows, dies_at=reads), train[1], checkpoint=tmp_path / "run")
    resumed = run(new(MLPProbe), make_source(rows), train[1], checkpoint=tmp_path / "run")
    again = run(new(MLPProbe), make_source(rows), train[1], checkpoint=tmp_path / "run")
    assert len(resumed.history) == len(again.history) == len(whole.history)
    assert same_weights(whole.head, resumed.head)
    assert same_weights(whole.head, again.head)


def test_patience_needs_validation(train):
    with pytest.raises(ValueError, match="`patience` needs `validation` rows"):
        fit(new(), *train, patience=2)
    with pytest.raises(ValueError, match="`patience` must be at least 1, got 0"):
        fit(new(), *train, patience=0, validation=train)


def test_the_criterion_takes_weights(train):
    logits, targets = torch.randn(100, K, generator=torch.Generator().manual_seed(0)), train[1]
    weights = torch.linspace(0, 2, 100)
    terms = NMTuneLoss()(logits, targets, tuned=None, sample_weight=weights)
    each = functional.cross_entropy(logits, targets, reduction="none")
    assert terms.total.item() == pytest.approx((each * weights).mean().item(), rel=1e-6)
