"""Predictions of fitted classifiers that a release must not change unseen."""

from __future__ import annotations

import numpy as np
import pytest

from frozen import assert_frozen
from noisymodel import NMTuneClassifier
from noisymodel.estimator import procedure

SETTINGS = {"epochs": 3, "minimum_steps": 60, "hidden_features": 16, "batch_size": 32, "random_state": 0}


def blobs(count: int) -> tuple[np.ndarray, np.ndarray]:
    random, labels = np.random.default_rng(0), np.arange(count) % 3
    return random.standard_normal((count, 8)) + 1.5 * np.eye(8)[labels], labels


@pytest.mark.filterwarnings("ignore")  # of trainings that are short on purpose
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("nmtune", {}),
        ("nmtune fixed", {"weights": "fixed"}),
        ("nmtune paper", {"preset": "paper"}),
        ("linear", {"method": "linear"}),
        ("kernel", {"method": "kernel"}),
        ("mlp", {"method": "mlp"}),
    ],
)
def test_predictions_are_frozen(name: str, settings: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    """To 1e-3 in probability: training in float32 depends a little on threads and on the processor's products."""
    monkeypatch.setattr(procedure, "FEW_ROWS", 90)
    features, labels = blobs(150)
    classifier = NMTuneClassifier(**{**SETTINGS, **settings}, device="cpu").fit(features[:120], labels[:120])
    found = classifier.predict_proba(features[120:])
    assert_frozen("classifier", name, found, rtol=0, atol=1e-3)
