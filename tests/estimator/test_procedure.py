"""What ``weights="auto"`` tries, takes, and says."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from noisymodel import NMTune, NMTuneClassifier
from noisymodel.estimator import procedure
from noisymodel.estimator.members import FREE, KERNEL, LINEAR, Data, Member
from noisymodel.estimator.procedure import Fitted
from noisymodel.heads import AveragedHead, LinearProbe


def blobs(count: int, classes: int = 3, spread: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    random, labels = np.random.default_rng(0), np.arange(count) % classes
    return random.standard_normal((count, 8)) + spread * np.eye(8)[labels], labels


def test_few_labels_get_probes_only_and_it_says_so() -> None:
    classifier = NMTuneClassifier(random_state=0).fit(*blobs(30))
    assert [row["member"] for row in classifier.selection_.table] == [LINEAR, KERNEL]
    assert "10 labels a class; so few rows do not carry a network, probes only were tried" in classifier.explanation_
    assert len(classifier.history_) == classifier.n_iter_ == 2


def test_fewer_rows_than_features_get_probes_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(procedure, "FEW_ROWS", 60)
    features, labels = blobs(90)
    wide = np.concatenate([features, 0.1 * np.random.default_rng(1).standard_normal((90, 91))], axis=1)
    classifier = NMTuneClassifier(random_state=0).fit(wide, labels)
    assert [row["member"] for row in classifier.selection_.table] == [LINEAR, KERNEL]
    assert "fewer rows (90) than features (99) do not carry a network" in classifier.explanation_


def test_many_labels_get_the_models_of_the_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(procedure, "FEW_ROWS", 90)
    settings = {"minimum_steps": 0, "epochs": 2, "hidden_features": 16, "random_state": 0}
    features, labels = blobs(120)
    classifier = NMTuneClassifier(**settings).fit(features, labels)
    table = classifier.selection_.table
    assert [(row["member"], row["models"]) for row in table] == [(LINEAR, 1), (KERNEL, 1), (FREE, 5)]
    assert all(np.isfinite(row["log_loss"]) and 0 <= row["accuracy"] <= 1 for row in table)
    assert [row["member"] for row in table if row["chosen"]] == classifier.selection_.chosen
    again = NMTuneClassifier(**settings).fit(features[::-1], labels[::-1])
    np.testing.assert_allclose(again.predict_proba(features), classifier.predict_proba(features), rtol=1e-5, atol=1e-7)
    other = NMTuneClassifier(**settings, consistency_weight=0.0).fit(features, labels)
    assert other.selection_.table[2]["log_loss"] != table[2]["log_loss"]


def members(losses: dict[str, float]) -> list[Member]:
    out = torch.zeros(6, 2)
    return [
        Member(name, [LinearProbe(8, 2, generator=torch.Generator())], 1.0, out, loss, 0.5, {})
        for name, loss in losses.items()
    ]


@pytest.mark.parametrize(
    ("losses", "chosen"),
    [
        ({LINEAR: 1.0, KERNEL: 1.05}, [LINEAR, KERNEL]),
        ({LINEAR: 1.2, KERNEL: 1.0}, [KERNEL]),
        ({LINEAR: 1.02, KERNEL: 1.0, FREE: 1.05}, [KERNEL, FREE]),
        ({LINEAR: 1.02, KERNEL: 1.01, FREE: 1.0}, [FREE]),
        ({LINEAR: 1.0, KERNEL: 1.3, FREE: 1.3}, [LINEAR]),
        ({LINEAR: 1.0, KERNEL: 1.05, FREE: 1.08}, [LINEAR, KERNEL, FREE]),
        ({LINEAR: 1.1, KERNEL: 1.0}, [LINEAR, KERNEL]),
        ({LINEAR: 1.2, KERNEL: 1.0, FREE: 1.11}, [KERNEL]),
    ],
)
def test_the_rule(losses: dict[str, float], chosen: list[str]) -> None:
    assert [one.name for one in procedure._chosen(members(losses))] == chosen


def data(count: int, width: int, classes: int) -> Data:
    targets = np.arange(count) % classes
    return Data(torch.zeros(count, width), targets, None, np.arange(count) % 2, classes, 0)


def decided(monkeypatch: pytest.MonkeyPatch, given: Data, losses: dict[str, float], **options: object) -> Fitted:
    """`decide` with members of known losses in place of fitted ones."""
    out = torch.zeros(len(given.targets), given.num_classes)
    known = {one.name: one._replace(out_of_fold=out) for one in members(losses)}
    monkeypatch.setattr(procedure, "probe_member", lambda _, name, step: (step(), known[name])[1])
    monkeypatch.setattr(procedure, "heads_member", lambda *_: known[FREE])
    training = {"batch_size": 64, "epochs": 10, "minimum_steps": 0}
    return procedure.decide(given, {"hidden_features": 4}, training, **options)


LOSSES = {LINEAR: 0.5, KERNEL: 0.52, FREE: 0.54}


@pytest.mark.parametrize(
    ("shape", "tried"),
    [
        ((400, 8, 20), 3),
        ((400, 8, 21), 2),  # 19 labels a class
        ((399, 8, 3), 2),
        ((400, 400, 3), 3),
        ((400, 401, 3), 2),
    ],
)
def test_the_limits_of_few(shape: tuple[int, int, int], tried: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(decided(monkeypatch, data(*shape), LOSSES).history) == tried


@pytest.mark.parametrize(("limit", "tried"), [(60 * 60 * 3, [LINEAR, KERNEL]), (60 * 60 * 3 - 1, [LINEAR])])
def test_the_kernel_is_tried_up_to_a_size(limit: int, tried: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(procedure, "_KERNEL_SIZE", limit)
    found = decided(monkeypatch, data(60, 8, 3), LOSSES)
    assert [row["member"] for row in found.selection.table] == tried
    monkeypatch.setattr(procedure, "_KERNEL_SIZE", 60 * 20 * 3 - 1)
    monkeypatch.setattr(procedure, "LANDMARKS", 20)
    assert len(decided(monkeypatch, data(60, 8, 3), LOSSES).history) == 1


def test_members_are_told_as_they_end(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    told: list[tuple[torch.nn.Module, dict[str, float]]] = []
    given = data(400, 8, 2)
    found = decided(monkeypatch, given, LOSSES, on_member=lambda *one: told.append(one))
    assert capsys.readouterr() == ("", "")
    assert [record["epoch"] for _, record in told] == [1, 2, 3]
    assert [record["validation_loss"] for record in found.history] == list(LOSSES.values())
    assert all(isinstance(module, LinearProbe) for module, _ in told)
    decided(monkeypatch, given, LOSSES, shown=True)
    shown = "".join(capsys.readouterr())
    assert all(f"{name}: out-of-fold log-loss {loss:.3f}, accuracy 50.0 %" in shown for name, loss in LOSSES.items())


def test_the_selection_has_the_figures_of_the_calibrated_average(monkeypatch: pytest.MonkeyPatch) -> None:
    given = data(60, 8, 2)
    logits = 4 * torch.nn.functional.one_hot(torch.from_numpy(given.targets)).float()
    logits[:12] = logits[:12].flip(1)  # a fifth is wrong, and all are far too sure
    known = [one._replace(out_of_fold=logits) for one in members({LINEAR: 1.0, KERNEL: 1.0})]
    found = procedure._average(given, known, [])
    mean = logits.log_softmax(1)
    factor = given.factor(mean)
    assert factor < 0.5
    expected = torch.nn.functional.cross_entropy(factor * mean, torch.from_numpy(given.targets))
    assert found.selection.log_loss == pytest.approx(float(expected), rel=1e-5)
    assert found.selection.accuracy == pytest.approx(0.8)
    assert found.head.factor == factor


def test_an_average_has_factors_and_shares() -> None:
    one, other = members({LINEAR: 1.0, KERNEL: 1.0})
    assert procedure._averaged([one], 3.0) is one.modules[0], "its logits are calibrated already"
    warm = procedure._averaged([one._replace(factor=2.0)], 3.0)
    assert isinstance(warm, AveragedHead)
    assert (warm.factors, warm.factor) == ([2.0], 3.0)
    both = procedure._averaged([one._replace(factor=2.0), other._replace(modules=other.modules * 2, factor=5.0)], 3.0)
    assert both.factors == [2.0, 5.0, 5.0]
    assert both.shares == [0.5, 0.25, 0.25]
    twice = procedure._averaged([one._replace(modules=one.modules * 2)], 3.0)
    assert isinstance(twice, AveragedHead), "two modules, though both are calibrated"


def test_the_explanation_names_what_was_taken_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    many, few = data(400, 8, 2), data(30, 8, 3)
    assert decided(monkeypatch, many, {**LOSSES, FREE: 0.4}).explanation == (
        "The NMTune heads, taken alone: of the lowest out-of-fold log-loss (linear probe 0.500, kernel probe 0.520, "
        "NMTune heads 0.400) with 200 labels a class."
    )
    assert decided(monkeypatch, few, LOSSES).explanation == (
        "The linear probe and the kernel probe, averaged: close in out-of-fold log-loss (linear probe 0.500, kernel "
        "probe 0.520) with 10 labels a class; so few rows do not carry a network, probes only were tried."
    )
    wide = decided(monkeypatch, data(400, 401, 2), LOSSES).explanation
    assert "; fewer rows (400) than features (401) do not" in wide
    short = decided(monkeypatch, data(399, 8, 2), LOSSES).explanation
    assert "; so few rows do not" in short, "200 labels a class"


def test_up_to_20_000_rows_are_all_held_out_once_and_more_are_not() -> None:
    labels = np.zeros(20_000, dtype=np.int64)
    assert np.bincount(procedure.folds_of(labels, 0)).tolist() == [4000] * 5
    folds = procedure.folds_of(np.zeros(20_001, dtype=np.int64), 0)
    assert ((folds == 0).sum(), (folds == -1).sum()) == (10_000, 10_001)


def test_many_rows_are_judged_on_a_part_by_three_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(procedure, "_MANY_ROWS", 400)
    monkeypatch.setattr(procedure, "_JUDGED", 100)
    features, labels = blobs(480)
    folds = procedure.folds_of(labels, 0)
    assert (folds == 0).sum() == 99
    assert (folds == -1).sum() == 381
    settings = {"minimum_steps": 0, "epochs": 1, "hidden_features": 16, "random_state": 0}
    assert NMTuneClassifier(**settings).fit(features, labels).selection_.table[2]["models"] == 3


def test_probabilities_are_calibrated() -> None:
    """On rows of noise, the average claims no more than it knows."""
    random = np.random.default_rng(0)
    features, labels = random.standard_normal((200, 8)), random.integers(0, 4, 200)
    classifier = NMTuneClassifier(random_state=0).fit(features, labels)
    test = classifier.predict_proba(random.standard_normal((500, 8)))
    assert test.max(axis=1).mean() < 0.45


@pytest.mark.parametrize("method", ["nmtune", "linear", "kernel", "mlp"])
def test_without_calibration_nothing_has_a_temperature(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(procedure, "FEW_ROWS", 60)
    features, labels = blobs(90)
    settings = {"method": method, "validation_fraction": 0.2, "epochs": 20, "minimum_steps": 0, "random_state": 0}
    with_temperature = NMTuneClassifier(**settings).fit(features, labels)
    without = NMTuneClassifier(**settings, calibrate=False).fit(features, labels)
    if isinstance(without.head_, AveragedHead):
        assert set(without.head_.factors) == {1.0} == {without.head_.factor}
    assert (with_temperature.predict_proba(features) - without.predict_proba(features)).max() > 1e-3


def test_the_head_is_a_module_that_trains_no_more() -> None:
    classifier = NMTuneClassifier(random_state=0).fit(*blobs(60))
    assert isinstance(classifier.head_, AveragedHead | LinearProbe | NMTune) or not classifier.head_.training
    assert not any(module.training for module in classifier.head_.modules())


def test_data_describes_its_folds() -> None:
    data = Data(torch.zeros(4, 2), np.array([0, 1, 0, 1]), None, np.array([0, 1, -1, 0]), 2, 0)
    assert data.fold_list == [0, 1]
    assert [inside.tolist() for inside in data.insides] == [[1, 2], [0, 2, 3]]
    assert data.judged[0].tolist() == [[1, 0], [0, 1], [0, 1]]


def test_the_mlp_says_which_smoothing_and_rate_it_chose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("noisymodel.estimator.fitting.FEW_ROWS", 60)
    settings = {"minimum_steps": 0, "epochs": 20, "hidden_features": 8, "random_state": 0}
    said = NMTuneClassifier(method="mlp", **settings).fit(*blobs(90, spread=3.0)).explanation_
    chosen = r"label smoothing [\d.]+ and learning rate 0\.\d+, chosen on a fifth of the rows"
    assert re.fullmatch(rf"One head with {chosen}, 20 epochs\.", said)
