"""Scores of a head: scikit-learn's, and what answers to other classes mean for them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn import metrics
from torch import nn

from noisymodel.study.data import Examples
from noisymodel.study.evaluation import accuracy, scores


def examples(answers: list[int] | None = None, classes: int = 4) -> Examples:
    generator = np.random.default_rng(0)
    labels = np.concatenate([np.arange(classes), generator.integers(0, classes, 60)])
    inputs = generator.normal(size=(len(labels), 4)).astype(np.float32)
    return Examples(inputs, labels, None, None if answers is None else np.array(answers))


def test_scores_are_those_of_scikit_learn() -> None:
    test = examples()
    found = scores(nn.Identity(), test)
    shown = torch.softmax(torch.from_numpy(test.inputs).double(), 1).numpy()
    said = shown.argmax(1)
    hot = np.eye(4)[test.labels]
    assert found["accuracy"] == accuracy(nn.Identity(), test) == metrics.accuracy_score(test.labels, said)
    assert found["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(test.labels, said))
    assert found["macro_f1"] == pytest.approx(metrics.f1_score(test.labels, said, average="macro"))
    assert found["average_precision"] == pytest.approx(metrics.average_precision_score(hot, shown, average="macro"))
    assert found["log_loss"] == pytest.approx(metrics.log_loss(test.labels, shown))
    sure = Examples(np.eye(4, dtype=np.float32) * 99, np.array([0, 1, 2, 0]))
    assert scores(nn.Identity(), sure)["calibration_error"] == pytest.approx(0.25)


def test_answers_sum_their_probabilities_and_invalid_classes_have_none() -> None:
    test = examples([0, 0, 1, -1], classes=2)
    logits = torch.from_numpy(test.inputs).double()
    shown = torch.softmax(logits[:, :3], 1).numpy()
    grouped = np.stack([shown[:, :2].sum(1), shown[:, 2]], 1)
    found = scores(nn.Identity(), test)
    assert found["log_loss"] == pytest.approx(metrics.log_loss(test.labels, grouped))
    assert found["accuracy"] == np.mean(np.array([0, 0, 1])[logits[:, :3].argmax(1).numpy()] == test.labels)
