"""Heads that are trained at once, each on rows of its own, are what `fit` makes of each."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from noisymodel import LinearProbe, MLPProbe, NMTune, fit
from noisymodel.baselines import WhitenedProbe
from noisymodel.heads.base import Head
from noisymodel.objective import NMTuneLoss
from noisymodel.sweeping import train_heads

D, K, N = 8, 4, 60
OPTIONS = {"epochs": 3, "batch_size": 16, "learning_rate": 3e-3, "warmup": 1}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


TARGETS = torch.arange(N) % K
FEATURES = torch.randn(N, D, generator=generator(1), dtype=torch.float64) + torch.eye(D, dtype=torch.float64)[TARGETS]
FOLDS = [torch.tensor([row for row in range(N) if row % 3 != fold]) for fold in range(3)]


class Smooth(nn.Module):
    """A network of a user's: another activation, a branch, a buffer."""

    def __init__(self, source):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            self.layers = nn.Sequential(nn.Linear(D, 6), nn.GELU(), nn.LayerNorm(6), nn.Linear(6, D))
        self.register_buffer("shift", torch.randn(D, generator=source))
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.3, 0.3, generator=source)

    def forward(self, rows):
        return torch.tanh(self.layers(rows)) * rows + self.shift


class Custom(Head):
    def __init__(self, source, network=None):
        objective = NMTuneLoss(consistency_weight=1.0, covariance_weight=0.5, dominant_weight=0.1)
        options = {"objective": objective, "normalize": "l2", "classifier_init": "linear", "generator": source}
        super().__init__(D, K, network=Smooth(source) if network is None else network, **options)


class Choosy(nn.Module):
    """A network that looks at its numbers, and one that draws from torch's global generator."""

    def __init__(self):
        super().__init__()
        self.dropout = nn.Dropout(0.3)

    def forward(self, rows):
        return self.dropout(rows) * (2.0 if float(rows.detach().sum()) > 0 else 1.0)


MAKERS = {
    "nmtune": lambda g: NMTune(D, K, dropout=0.2, generator=g),
    "deep": lambda g: NMTune(D, K, depth=2, norm="layer", residual=True, top_k=2, label_smoothing=0.1, generator=g),
    "mlp": lambda g: MLPProbe(D, K, norm=None, generator=g),
    "linear": lambda g: LinearProbe(D, K, generator=g),
    "whitened": lambda g: WhitenedProbe(D, K, generator=g).double().whiten(FEATURES),
    "custom": Custom,
    "choosy": lambda g: Custom(g, Choosy()),
}


def made(make, count=3):
    return [make(generator(seed)).double() for seed in range(count)]


def check(heads, histories, fitted):
    for head, history, (expected, wanted) in zip(heads, histories, fitted, strict=True):
        assert not head.training
        torch.testing.assert_close(head(FEATURES), expected(FEATURES), rtol=1e-6, atol=1e-8)
        for record, other in zip(history, wanted, strict=True):
            for name, value in record.items():
                assert value == pytest.approx(other[name], rel=1e-7, abs=1e-10), name


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())
def test_each_is_what_fit_makes_of_it(make):
    heads = made(make)
    fitted = [
        fit(copy.deepcopy(head), FEATURES[rows], TARGETS[rows], seed=seed, **OPTIONS)
        for head, rows, seed in zip(heads, FOLDS, (5, 5, 0), strict=True)
    ]
    check(heads, train_heads(heads, FEATURES, TARGETS, rows=FOLDS, seeds=(5, 5, 0), **OPTIONS), fitted)


def test_all_rows_masks_weights_soft_targets_and_unequal_numbers():
    weights = np.linspace(0, 2, N)
    soft = torch.nn.functional.one_hot(TARGETS, K).double() * 0.8 + 0.05
    ignored = torch.where(torch.arange(N) % 5 == 0, -100, TARGETS)
    masks = [np.arange(N) % 4 != 0, np.arange(N) < 31, np.arange(N) % 4 != 1]
    for targets, rows, options in (
        (TARGETS, None, {"sample_weight": weights}),
        (soft, masks, {}),
        (ignored, masks, {"sample_weight": weights}),
    ):
        heads = made(MAKERS["nmtune"])
        masked = [np.ones(N, bool)] * 3 if rows is None else rows
        fitted = []
        for head, mask, seed in zip(heads, masked, (1, 2, 3), strict=True):
            own = {name: value[mask] for name, value in options.items()}
            fitted.append(fit(copy.deepcopy(head), FEATURES[mask], targets[mask], seed=seed, **OPTIONS, **own))
        check(heads, train_heads(heads, FEATURES, targets, rows=rows, seeds=(1, 2, 3), **OPTIONS, **options), fitted)


def test_frozen_parameters_stay():
    heads = made(lambda g: NMTune(D, K, residual=True, generator=g))
    for head in heads:
        head.start_from(LinearProbe(D, K, generator=generator(9)).double())
        head.classifier.requires_grad_(False)
    before = heads[0].classifier.weight.clone()
    fitted = [fit(copy.deepcopy(head), FEATURES, TARGETS, seed=2, **OPTIONS) for head in heads]
    check(heads, train_heads(heads, FEATURES, TARGETS, seeds=(2, 2, 2), **OPTIONS), fitted)
    assert torch.equal(heads[1].classifier.weight, before)


@pytest.mark.parametrize("make", ["nmtune", "choosy"])
def test_one_that_diverges_spoils_no_other(make):
    heads = made(MAKERS[make])
    with torch.no_grad():
        heads[1].classifier.weight.fill_(torch.inf)
    expected = fit(copy.deepcopy(heads[2]), FEATURES, TARGETS, seed=2, **OPTIONS)
    histories = train_heads(heads, FEATURES, TARGETS, seeds=(0, 1, 2), **OPTIONS)
    assert [len(history) for history in histories] == [3, 3, 3]
    assert all(math.isnan(record["train_total"]) for record in histories[1])
    check(heads[2:], histories[2:], [expected])


def test_epochs_are_told(capsys):
    told = []
    heads = made(MAKERS["linear"])
    train_heads(heads, FEATURES, TARGETS, seeds=(0, 1, 2), epochs=2, on_epoch=told.append, progress=True)
    assert [sorted(records) for records in told] == [[0, 1, 2]] * 2
    assert told[1][2]["epoch"] == 2
    assert "step" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"heads": []}, "`heads` must have at least one"),
        ({"heads": [LinearProbe(D, K, generator=generator()), LinearProbe(D, 3, generator=generator())]}, "the same"),
        ({"heads": [LinearProbe(D, K, generator=generator())] * 2}, "different objects"),
        ({"seeds": (0,)}, "`seeds` must be one for each of 2 heads"),
        ({"rows": [[0, 1]]}, "`rows` must be one subset for each of 2 heads"),
        ({"rows": [[0, 1], [0, N]]}, r"`rows` must be indices in \[0, 60\)"),
        ({"rows": [[0, 1], [0.5]]}, r"`rows` must be indices \(n,\) or masks"),
        ({"epochs": 0}, "`epochs` must be at least 1"),
    ],
)
def test_bad_arguments(change, message):
    heads = [LinearProbe(D, K, generator=generator(seed)) for seed in range(2)]
    arguments = {"heads": heads, "features": FEATURES.float(), "targets": TARGETS, "seeds": (0, 1), **change}
    with pytest.raises(ValueError, match=message):
        train_heads(**arguments)


def test_features_of_large_scale_warn_once_for_all_heads():
    heads = [NMTune(D, K, normalize=None, residual=True, generator=generator(seed)).double() for seed in range(2)]
    with pytest.warns(UserWarning, match=r"weighted covariance term is .*large scale") as told:
        train_heads(heads, 100 * FEATURES, TARGETS, seeds=[0, 1], **OPTIONS)
    assert len(told) == 1
