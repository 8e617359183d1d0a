"""NMTune behind scikit-learn's interface: its checks, its tools, and what they do not look at."""

from __future__ import annotations

import inspect
import json
import pickle
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

from noisymodel import NMTune, NMTuneClassifier, fit
from noisymodel._random import tensor_generator
from noisymodel.estimator import predicting
from noisymodel.estimator.rows import canonical_order
from noisymodel.estimator.suspicion import SuspiciousFeaturesWarning

FAST = {"epochs": 20, "minimum_steps": 0, "batch_size": 32, "learning_rate": 1e-2, "random_state": 0}
QUICK = {**FAST, "weights": "fixed"}
METHODS = ("nmtune", "mlp", "linear", "kernel")


def blobs(count: int = 120, features: int = 8, classes: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    means = 2.0 * np.random.default_rng(99).standard_normal((classes, features))
    return means[labels] + random.standard_normal((count, features)), labels


def probabilities(**settings: object) -> np.ndarray:
    features, labels = blobs()
    return NMTuneClassifier(**{**QUICK, "epochs": 4, **settings}).fit(features, labels).predict_proba(features[:20])


# --- scikit-learn's own checks


def expected_to_fail(estimator: NMTuneClassifier) -> dict[str, str]:
    """None, whatever the method: scikit-learn reports each of these as an expected failure."""
    return {}


@pytest.fixture
def numpys_generator() -> Iterator[None]:
    """The checks draw from numpy's global generator."""
    state = np.random.get_state()  # noqa: NPY002
    yield
    np.random.set_state(state)  # noqa: NPY002


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("numpys_generator")
@parametrize_with_checks(
    [NMTuneClassifier(), NMTuneClassifier(method="linear")], expected_failed_checks=expected_to_fail
)
def test_check_of_scikit_learn(estimator: NMTuneClassifier, check: Callable[[NMTuneClassifier], None]) -> None:
    check(estimator)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("numpys_generator")
@parametrize_with_checks(
    [NMTuneClassifier(method="mlp"), NMTuneClassifier(method="kernel")], expected_failed_checks=expected_to_fail
)
def test_check_of_scikit_learn_for_baselines(
    estimator: NMTuneClassifier, check: Callable[[NMTuneClassifier], None]
) -> None:
    check(estimator)


def test_no_estimator_opts_out_of_the_checks() -> None:
    for method in METHODS:
        assert len(list(estimator_checks_generator(NMTuneClassifier(method=method)))) >= 60, method


# --- its tools


def test_works_in_pipelines_searches_and_calibration() -> None:
    features, labels = blobs()
    names = np.array(["ape", "bee", "cat"])[labels]
    pipeline = make_pipeline(StandardScaler(), NMTuneClassifier(**QUICK))
    assert cross_val_score(pipeline, features, names, cv=3).mean() > 0.9
    search = GridSearchCV(NMTuneClassifier(**QUICK), {"consistency_weight": [0.1, 1.0]}, cv=2).fit(features, names)
    assert set(search.predict(features)) <= set(names)
    calibrated = CalibratedClassifierCV(NMTuneClassifier(**QUICK), cv=2).fit(features, names)
    np.testing.assert_allclose(calibrated.predict_proba(features).sum(axis=1), 1.0)


def test_pandas_in_and_out() -> None:
    pandas = pytest.importorskip("pandas")
    features, labels = blobs()
    frame = pandas.DataFrame(features, columns=[f"f{i}" for i in range(8)])
    classifier = NMTuneClassifier(**QUICK).set_output(transform="pandas").fit(frame, labels)
    assert list(classifier.feature_names_in_) == list(frame.columns)
    tuned = classifier.transform(frame)
    assert list(tuned.columns) == [f"nmtuneclassifier{i}" for i in range(8)]
    with pytest.raises(ValueError, match="feature names"):
        classifier.predict(frame.rename(columns={"f0": "other"}))


@pytest.mark.parametrize("weights", ["auto", "fixed"])
@pytest.mark.parametrize("method", METHODS)
def test_methods_learn_and_transform(method: str, weights: str) -> None:
    features, labels = blobs()
    test_features, test_labels = blobs(seed=1)
    classifier = NMTuneClassifier(method=method, **FAST, weights=weights).fit(features, labels)
    assert classifier.score(test_features, test_labels) > 0.88
    assert classifier.transform(test_features).shape == test_features.shape
    logits = classifier.decision_function(test_features)
    np.testing.assert_array_equal(logits.argmax(axis=1), classifier.predict(test_features))
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(classifier.predict_proba(test_features), expected, rtol=1e-9)
    by_head = classifier.head_(torch.from_numpy(test_features).float()).softmax(1).detach()
    np.testing.assert_allclose(classifier.predict_proba(test_features), by_head, atol=1e-4)
    assert classifier.explanation_


def test_nothing_depends_on_the_scale() -> None:
    features, labels = blobs()
    for method in ("nmtune", "linear", "kernel"):
        plain, large = (
            NMTuneClassifier(method=method, **FAST).fit(k * features, labels).predict_proba(k * features)
            for k in (1, 4096)
        )
        np.testing.assert_allclose(plain, large, atol=1e-6)


def test_two_classes_have_one_logit() -> None:
    features, labels = blobs(classes=2)
    classifier = NMTuneClassifier(**QUICK).fit(features, labels)
    logit = classifier.decision_function(features)
    assert logit.shape == (120,)
    np.testing.assert_array_equal(logit > 0, classifier.predict(features) == 1)


def test_it_is_fit_on_the_head_of_the_same_settings() -> None:
    """Nothing is hidden in the shell: by hand, on the rows in their own order, the same head comes out."""
    features, labels = blobs()
    classifier = NMTuneClassifier(**QUICK).fit(features, labels)
    seed = int(check_random_state(0).randint(2**31 - 1))
    order = canonical_order(features, labels)
    rows = torch.from_numpy(features.astype(np.float32))
    head = NMTune(8, 3, hidden_features=64, generator=tensor_generator(seed, 3))
    fit(head, rows[order], labels[order], epochs=20, learning_rate=1e-2, batch_size=32, seed=seed)
    by_hand = head.double()(torch.from_numpy(features)).detach()
    np.testing.assert_allclose(classifier.predict_proba(features), by_hand.softmax(1), rtol=1e-6, atol=1e-9)


# --- settings


def test_every_setting_of_the_head_and_the_training_is_exposed() -> None:
    own = inspect.signature(NMTuneClassifier).parameters
    head = set(inspect.signature(NMTune).parameters) - {"in_features", "num_classes", "gather", "generator"}
    training = set(inspect.signature(fit).parameters) - {
        *("head", "features", "targets", "validation", "seed", "progress", "checkpoint", "compile", "sample_weight"),
    }
    assert head | training <= set(own)
    for name in training - {"device"}:
        assert own[name].default == inspect.signature(fit).parameters[name].default, name


@pytest.mark.filterwarnings("ignore:the training loss is")
def test_every_setting_changes_the_result() -> None:
    plain = probabilities()
    for changed in (
        {"hidden_features": 16}, {"depth": 2}, {"norm": "layer"}, {"residual": True}, {"dropout": 0.3},
        {"normalize": None}, {"input_noise": 0.0}, {"consistency_weight": 0.0}, {"covariance_weight": 0.0},
        {"dominant_weight": 2.0}, {"dominant_weight": 2.0, "top_k": 3}, {"reduction": "mean"}, {"label_smoothing": 0.2},
        {"classifier_init": "kaiming"}, {"epochs": 5}, {"minimum_steps": 20}, {"batch_size": 40},
        {"learning_rate": 2e-2}, {"weight_decay": 0.5}, {"warmup": 2}, {"validation_fraction": 0.25},
        {"class_weight": {0: 5.0, 1: 1.0, 2: 1.0}}, {"random_state": 1}, {"preset": "paper"}, {"preset": "official"},
        {"method": "mlp"}, {"method": "linear"}, {"method": "kernel"}, {"weights": "auto"},
        {"validation_fraction": 0.25, "calibrate": False}, {"validation_fraction": 0.25, "patience": 1, "epochs": 8},
    ):  # fmt: skip
        assert not np.allclose(probabilities(**changed), plain, rtol=1e-4, atol=1e-6), changed
    held = {"validation_fraction": 0.25}
    assert not np.allclose(probabilities(**held), probabilities(**held, calibrate=False), rtol=1e-4, atol=1e-6)


def test_few_features_and_the_official_preset() -> None:
    features, labels = blobs(features=3)
    for preset in ("official", "paper"):
        settings = {name: value for name, value in QUICK.items() if name != "weights"}
        classifier = NMTuneClassifier(preset=preset, **settings).fit(features, labels)
        assert isinstance(classifier.head_, NMTune)
        assert classifier.head_.config()["hidden_features"] == 12


def test_the_same_seed_gives_the_same_classifier_whatever_the_order_of_the_rows() -> None:
    features, labels = blobs()
    one = NMTuneClassifier(**QUICK).fit(features, labels)
    order = np.random.default_rng(3).permutation(len(labels))
    other = NMTuneClassifier(**QUICK).fit(features[order], labels[order])
    np.testing.assert_allclose(one.predict_proba(features), other.predict_proba(features), rtol=1e-6)
    state = NMTuneClassifier(**{**QUICK, "random_state": np.random.RandomState(7)}).fit(features, labels)
    again = NMTuneClassifier(**{**QUICK, "random_state": np.random.RandomState(7)}).fit(features, labels)
    np.testing.assert_array_equal(state.predict_proba(features), again.predict_proba(features))


def test_without_a_seed_two_fits_differ_and_global_state_is_left_alone() -> None:
    one, other = (probabilities(random_state=None, epochs=20) for _ in range(2))
    assert not np.allclose(one, other)


def test_a_row_does_not_depend_on_the_rows_beside_it() -> None:
    features, labels = blobs()
    classifier = NMTuneClassifier(**QUICK).fit(features, labels)
    alone = np.concatenate([classifier.decision_function(row[None]) for row in features[:10]])
    np.testing.assert_allclose(alone, classifier.decision_function(features)[:10], rtol=1e-10)


def test_predictions_in_pieces_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = blobs()
    classifier = NMTuneClassifier(**QUICK).fit(features, labels)
    whole = classifier.transform(features)
    monkeypatch.setattr(predicting, "ROWS", 7)
    np.testing.assert_allclose(classifier.transform(features), whole, rtol=1e-12)


def test_weights_are_repeated_rows() -> None:
    features, labels = blobs(60)
    weights = np.random.default_rng(0).integers(0, 4, 60)
    for settings in (FAST, QUICK, {"method": "linear", "random_state": 0}):
        repeated = NMTuneClassifier(**settings).fit(features.repeat(weights, axis=0), labels.repeat(weights))
        weighted = NMTuneClassifier(**settings).fit(features, labels, sample_weight=weights)
        np.testing.assert_allclose(weighted.predict_proba(features), repeated.predict_proba(features), rtol=1e-6)
        half = NMTuneClassifier(**settings).fit(features, labels, sample_weight=weights / 2 + 0.1)
        assert not np.allclose(half.predict_proba(features), weighted.predict_proba(features), rtol=1e-3)


@pytest.mark.filterwarnings("ignore:the training loss is")
def test_held_out_rows_are_not_trained_on_whatever_their_weight() -> None:
    random = np.random.default_rng(0)
    features, labels = random.standard_normal((200, 16)), random.integers(0, 4, 200)
    for rows, weights in ((features, np.full(200, 3.0)), (features, None)):
        classifier = NMTuneClassifier(**{**QUICK, "validation_fraction": 0.25, "epochs": 40})
        classifier.fit(rows, labels, sample_weight=weights)
        assert classifier.history_[-1]["validation_accuracy"] < 0.5
    twice = NMTuneClassifier(**{**QUICK, "validation_fraction": 0.25, "epochs": 40})
    twice.fit(features.repeat(3, axis=0), labels.repeat(3))
    assert twice.history_[-1]["validation_accuracy"] < 0.5


def test_weights_and_class_weights_move_the_decision() -> None:
    random = np.random.default_rng(0)
    features, labels = random.standard_normal((80, 4)), random.integers(0, 2, 80)
    for common in ({**QUICK, "epochs": 40}, FAST, {"method": "linear"}, {"method": "kernel"}):
        for settings, weight in (({"class_weight": {0: 50.0, 1: 1.0}}, None), ({}, np.where(labels == 0, 50.5, 1.0))):
            classifier = NMTuneClassifier(**{**common, **settings}).fit(features, labels, weight)
            assert (classifier.predict(features) == 0).mean() > 0.9
    balanced = NMTuneClassifier(class_weight="balanced", **QUICK).fit(*blobs())
    np.testing.assert_allclose(balanced.predict_proba(blobs()[0][:20]), probabilities(epochs=20), rtol=1e-4, atol=1e-6)


@pytest.mark.filterwarnings("ignore:the training loss is")
@pytest.mark.parametrize("count", [2, 3, 5, 65, 129])
def test_few_rows_and_odd_batches(count: int) -> None:
    features, labels = blobs(count, classes=2)
    classifier = NMTuneClassifier(**{**QUICK, "epochs": 2}).fit(features, labels)
    assert classifier.predict(features[:1]).shape == (1,)


@pytest.mark.filterwarnings("ignore:the training loss is")
def test_batches_of_one_row_and_classes_with_one_sample() -> None:
    features, labels = blobs(31)
    labels[0] = 7
    classifier = NMTuneClassifier(**{**QUICK, "batch_size": 1, "epochs": 2}).fit(features, labels)
    assert list(classifier.classes_) == [0, 1, 2, 7]
    with_top = NMTuneClassifier(**{**QUICK, "batch_size": 1, "top_k": 4, "epochs": 2}).fit(features, labels)
    assert with_top.predict(features).shape == (31,)
    held = NMTuneClassifier(**{**QUICK, "validation_fraction": 0.3, "epochs": 2}).fit(features, labels)
    assert "validation_accuracy" in held.history_[-1]


def test_few_rows_get_more_epochs() -> None:
    features, labels = blobs(40)
    one, two = {**QUICK, "minimum_steps": 50, "batch_size": 40}, {**QUICK, "minimum_steps": 50, "batch_size": 20}
    assert NMTuneClassifier(**one).fit(features, labels).n_iter_ == 50
    assert NMTuneClassifier(**two).fit(features, labels).n_iter_ == 25
    assert NMTuneClassifier(**QUICK).fit(features, labels).n_iter_ == 20


@pytest.mark.filterwarnings("ignore:the training loss is")
def test_patience_stops_early() -> None:
    features, labels = blobs()
    settings = {**QUICK, "epochs": 60, "validation_fraction": 0.25}
    stopped = NMTuneClassifier(patience=2, **settings).fit(features, np.random.default_rng(0).permutation(labels))
    assert stopped.n_iter_ < 60
    with pytest.raises(ValueError, match="`patience` needs `validation` rows"):
        NMTuneClassifier(patience=2, **QUICK).fit(features, labels)


def test_held_out_rows_of_auto_are_evaluated() -> None:
    features, labels = blobs()
    classifier = NMTuneClassifier(validation_fraction=0.25, random_state=0).fit(features, labels)
    assert set(classifier.history_[-1]) == {"epoch", "validation_loss", "validation_accuracy"}
    with pytest.raises(ValueError, match='`patience` needs weights="fixed"'):
        NMTuneClassifier(patience=2).fit(features, labels)


@pytest.mark.filterwarnings("ignore:the training loss is")
def test_warm_start_goes_on() -> None:
    features, labels = blobs()
    once = NMTuneClassifier(**{**QUICK, "epochs": 2, "learning_rate": 1e-3}, warm_start=True)
    first = once.fit(features, labels).history_[0]["train_total"]
    for _ in range(5):
        once.fit(features, labels)
    assert once.history_[0]["train_total"] < 0.9 * first
    assert once.fit(features[:, :6], labels).n_features_in_ == 6
    assert (
        NMTuneClassifier(warm_start=True, random_state=0)
        .fit(features, labels)
        .fit(features, labels)
        .score(features, labels)
        > 0.9
    )


def test_on_epoch_is_told_of_every_record() -> None:
    features, labels = blobs()
    for settings in (QUICK, FAST):
        told: list[tuple[object, dict]] = []
        classifier = NMTuneClassifier(
            **settings, on_epoch=lambda head, record, told=told: told.append((head, dict(record)))
        )
        classifier.fit(features, labels)
        assert [record for _, record in told] == classifier.history_
        assert all(isinstance(head, torch.nn.Module) for head, _ in told)


def test_integers_of_a_search_are_saved(tmp_path: Path) -> None:
    features, labels = blobs()
    search = GridSearchCV(
        NMTuneClassifier(**QUICK), {"epochs": np.array([2, 3]), "hidden_features": np.array([8])}, cv=2
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        best = search.fit(features, labels).best_estimator_
    best.save(tmp_path)
    assert NMTuneClassifier.load(tmp_path).hidden_features == 8


def test_devices_that_are_not_there_are_named() -> None:
    features, labels = blobs()
    for device in ("cuda:7", "tpu", "gpu"):
        with pytest.raises(ValueError, match=r"`device` must be one that is there \(cpu.*\), got '" + device):
            NMTuneClassifier(device=device).fit(features, labels)
    assert NMTuneClassifier(device="cpu", random_state=0).fit(features, labels).score(features, labels) > 0.9


def test_few_plain_rows_skip_scikit_learns_checks_and_are_refused_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = blobs(30)
    model = NMTuneClassifier(method="linear", random_state=0).fit(features, labels)
    wanted = model.decision_function(features.tolist())
    for bad in (features[:, :-1], features[0], np.full_like(features[:1], np.nan), features[:0]):
        with pytest.raises(ValueError, match=r"features|1D|NaN|minimum"):
            model.predict(bad)
    monkeypatch.setattr("noisymodel.estimator.reading.validate_data", None)
    np.testing.assert_array_equal(model.decision_function(features), wanted)


def test_one_row_does_not_copy_the_head(monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = blobs()
    classifier = NMTuneClassifier(**FAST).fit(features, labels)
    first = classifier.predict_proba(features)
    monkeypatch.setattr(predicting.copy, "deepcopy", lambda _: pytest.fail("the head was copied"))
    np.testing.assert_allclose(classifier.predict_proba(features[:1]), first[:1], rtol=1e-10)
    monkeypatch.undo()
    with torch.no_grad():
        for parameter in classifier.head_.parameters():
            parameter.mul_(0.5)
    assert not np.allclose(classifier.predict_proba(features), first)


# --- files


@pytest.mark.parametrize("labels", [["a", "b", "c"], [3, 5, 7], [1.0, 2.0, 3.0]], ids=str)
def test_saved_and_loaded_it_predicts_the_same(tmp_path: Path, labels: list[object]) -> None:
    features, targets = blobs()
    named = np.array(labels)[targets]
    settings = FAST if labels[0] == 3 else QUICK
    classifier = NMTuneClassifier(**settings, class_weight="balanced").fit(features, named)
    classifier.save(tmp_path / "model")
    loaded = NMTuneClassifier.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict(features), classifier.predict(features))
    np.testing.assert_array_equal(loaded.predict_proba(features), classifier.predict_proba(features))
    np.testing.assert_array_equal(loaded.transform(features), classifier.transform(features))
    assert loaded.get_params() == classifier.get_params()
    assert loaded.history_ == classifier.history_
    assert {path.name for path in (tmp_path / "model").iterdir()} == {
        "classifier.json", "config.json", "model.safetensors"
    }  # fmt: skip
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(classifier)).predict_proba(features),  # noqa: S301 - our own bytes
        loaded.predict_proba(features),
    )


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    features, labels = blobs()
    with pytest.raises(FileNotFoundError, match="holds no saved classifier"):
        NMTuneClassifier.load(tmp_path)
    NMTuneClassifier(**QUICK).fit(features, labels).save(tmp_path)
    path = tmp_path / "classifier.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "format": 3}))
    with pytest.raises(ValueError, match="has format 3, this version reads 2: install a newer noisymodel"):
        NMTuneClassifier.load(tmp_path)
    for changed in ({"classes": {"dtype": "<i8", "labels": [0, 2, 1]}}, {"history": []}, {"explanation": "other"}):
        path.write_text(json.dumps({**record, **changed}))
        with pytest.raises(ValueError, match=r"the checksum of classifier\.json does not fit its content"):
            NMTuneClassifier.load(tmp_path)
    path.write_text(json.dumps(record))
    weights = tmp_path / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ValueError, match=r"the checksum of model\.safetensors is not the one"):
        NMTuneClassifier.load(tmp_path)
    path.write_text("{}")
    with pytest.raises(ValueError, match=r"classifier\.json is damaged or was not written"):
        NMTuneClassifier.load(tmp_path)


def test_labels_that_json_cannot_hold_are_refused(tmp_path: Path) -> None:
    features, labels = blobs()
    days = np.array(["2020-01-01", "2020-01-02", "2020-01-03"], dtype="datetime64[D]")
    classifier = NMTuneClassifier(**QUICK).fit(features, labels)
    classifier.classes_ = days
    with pytest.raises(TypeError, match="`classes_` must be strings or numbers to be saved, got datetime64"):
        classifier.save(tmp_path)
    assert list(tmp_path.iterdir()) == []


# --- bad and suspicious input


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "svm"}, "`method` must be one of 'nmtune', 'mlp', 'linear', 'kernel', got 'svm'"),
        ({"weights": "best"}, "`weights` must be one of 'auto', 'fixed', got 'best'"),
        ({"preset": "ours"}, "`preset` must be one of 'paper', 'official', got 'ours'"),
        ({"preset": "paper", "method": "mlp"}, "`preset` is for method=\"nmtune\", got 'paper' with method='mlp'"),
        ({"normalize": "max"}, "`normalize` must be one of 'l2', None, got 'max'"),
        ({"epochs": 0}, "`epochs` must be at least 1, got 0"),
        ({"batch_size": 0}, "`batch_size` must be at least 1, got 0"),
        ({"minimum_steps": -1}, "`minimum_steps` must be at least 0, got -1"),
        ({"validation_fraction": 1.5}, r"`validation_fraction` must be in \[0, 1\], got 1.5"),
        ({"validation_fraction": 0.001}, "must hold out at least one row"),
        ({"consistency_weight": -1}, r"`consistency_weight` must be in \[0, inf\), got -1"),
    ],
)
def test_bad_settings(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NMTuneClassifier(**{**QUICK, **settings}).fit(*blobs())


def test_bad_rows() -> None:
    features, labels = blobs()
    with pytest.raises(ValueError, match="`y` must have at least 2 classes, got one class"):
        NMTuneClassifier(**QUICK).fit(features, np.zeros(120))
    with pytest.raises(ValueError, match="`y` must have at least 2 classes"):
        NMTuneClassifier(**QUICK).fit(features, labels, sample_weight=(labels == 1).astype(float))
    with pytest.raises(ValueError, match="NaN"):
        NMTuneClassifier(**QUICK).fit(np.full((4, 2), np.nan), [0, 1, 0, 1])
    with pytest.raises(NotFittedError):
        NMTuneClassifier().predict(features)
    classifier = NMTuneClassifier(**QUICK).fit(features, labels)
    with pytest.raises(ValueError, match="X has 7 features, but NMTuneClassifier is expecting 8 features"):
        classifier.predict(features[:, :7])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: np.ones_like(x), "all features are constant"),
        (lambda x: np.concatenate([x[:, :3], np.ones_like(x)], axis=1), "8 of 11 features are constant"),
        (lambda x: x * np.r_[1e6, np.ones(7)], "standard deviations run from .*StandardScaler"),
        (lambda x: x * 1e5, "root mean square is"),
    ],
)
def test_suspicious_features_are_named(change, message: str) -> None:
    features, labels = blobs()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        with pytest.warns(SuspiciousFeaturesWarning, match=message):
            NMTuneClassifier(**QUICK, normalize=None).fit(change(features), labels)


def test_a_dead_feature_is_no_wild_scale() -> None:
    features, labels = blobs()
    with warnings.catch_warnings():
        warnings.simplefilter("error", SuspiciousFeaturesWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        NMTuneClassifier(**QUICK).fit(features * np.r_[1e-8, np.ones(7)], labels)


def test_a_training_that_hardly_began_is_named() -> None:
    features, labels = blobs()
    with pytest.warns(ConvergenceWarning, match="has hardly learned; raise `epochs` or `learning_rate`"):
        NMTuneClassifier(**{**QUICK, "learning_rate": 1e-7, "epochs": 1}).fit(features, labels)


def test_verbose_shows_progress(capsys: pytest.CaptureFixture[str]) -> None:
    NMTuneClassifier(**QUICK, verbose=1).fit(*blobs())
    assert "step" in capsys.readouterr().err
    NMTuneClassifier(**FAST, verbose=1).fit(*blobs())
    shown = capsys.readouterr()
    assert "kernel probe: 9 penalties, 5 folds" in shown.out + shown.err
    first, last = (re.findall(rf"{name} probe: [^%]*?(\d+)%", shown.err) for name in ("linear", "kernel"))
    assert max(map(int, first)) <= int(last[0]) < int(last[-1]) == 100  # the bar knows what is still to come
    NMTuneClassifier(**QUICK).fit(*blobs())
    assert capsys.readouterr().err == ""
