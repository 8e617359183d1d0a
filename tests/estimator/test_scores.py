"""Scores against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, log_loss

from noisymodel.estimator.scores import scores


def test_scores_are_those_of_the_definitions() -> None:
    random = np.random.default_rng(0)
    probabilities = random.dirichlet(np.ones(3), 200)
    ids = random.integers(0, 3, 200)
    found = scores(probabilities, ids)
    assert found.log_loss == pytest.approx(log_loss(ids, probabilities))
    assert found.balanced_accuracy == pytest.approx(balanced_accuracy_score(ids, probabilities.argmax(1)))
    confidence, right = probabilities.max(1), probabilities.argmax(1) == ids
    bins = np.floor(confidence * 15).clip(max=14)
    gaps = [abs(right[bins == b].mean() - confidence[bins == b].mean()) * (bins == b).mean() for b in set(bins)]
    assert found.calibration_error == pytest.approx(sum(gaps))
    perfect = scores(np.eye(3), np.arange(3))
    assert perfect == (0.0, 0.0, 1.0, 1.0, 1.0)
    one_class = scores(np.eye(3)[[0, 0]], np.zeros(2, dtype=np.int64))
    assert (one_class.macro_f1, one_class.balanced_accuracy) == (1.0, 1.0)
