"""scikit-learn's baselines, on rows of length one.

A baseline is a function (features, labels, classes, seed) -> a function of features that gives the logarithms of
probabilities (N, K), or, for the support-vector classifier, which has none, one column that is right.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import log_softmax
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegressionCV
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.svm import SVC

Scores = Callable[[np.ndarray], np.ndarray]
FOLDS = 3
LANDMARKS = 1000
LARGEST_SVC = 2000  # training rows
LARGEST_FOLDED = 3000  # rows; with more, the penalty is chosen on one third that is held out


def unit(features: np.ndarray) -> np.ndarray:
    """Rows of length one."""
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)


def _logistic(features: np.ndarray, labels: np.ndarray, strengths: list[float], seed: int) -> Any:
    """scikit-learn's multinomial logistic regression; C by cross-validated accuracy."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folds = list(StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(features, labels))
        cv = folds if len(labels) <= LARGEST_FOLDED else folds[:1]
        return LogisticRegressionCV(Cs=strengths, cv=cv, max_iter=200, scoring="accuracy").fit(features, labels)


def logistic(features: np.ndarray, labels: np.ndarray, num_classes: int, seed: int) -> Scores:
    """Logistic regression on rows of length one."""
    model = _logistic(unit(features), labels, [1, 3, 10, 30, 100, 300, 1000], seed)
    return lambda rows: all_classes(model.predict_log_proba(unit(rows)), model.classes_, num_classes)


def kernel(features: np.ndarray, labels: np.ndarray, num_classes: int, seed: int) -> Scores:
    """Logistic regression on the kernel exp(-|x - x'|^2) of rows of length one, by at most 1,000 landmarks."""
    rows = unit(features)
    landmarks = rows[np.random.default_rng(seed).permutation(len(rows))[:LANDMARKS]]
    values, vectors = np.linalg.eigh(rbf_kernel(landmarks, gamma=1.0).astype(np.float64))
    kept = values > 1e-6 * values[-1]
    root = (vectors[:, kept] / np.sqrt(values[kept])).astype(np.float32)

    def mapped(given: np.ndarray) -> np.ndarray:
        return rbf_kernel(unit(given), landmarks, gamma=1.0).astype(np.float32) @ root

    model = _logistic(mapped(features), labels, [1, 3, 10, 30, 100, 300, 1000], seed)
    return lambda given: all_classes(model.predict_log_proba(mapped(given)), model.classes_, num_classes)


def support_vectors(features: np.ndarray, labels: np.ndarray, num_classes: int, seed: int) -> Scores:
    """A support-vector classifier with the same kernel; C and gamma by cross-validated accuracy."""
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    grid = {"C": [1, 3, 10], "gamma": [0.5, 1.0, 2.0]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = GridSearchCV(SVC(), grid, cv=folds).fit(unit(features), labels)

    def scores(rows: np.ndarray) -> np.ndarray:
        return np.eye(num_classes)[model.predict(unit(rows))]

    return scores


def discriminant(features: np.ndarray, labels: np.ndarray, num_classes: int, _: int) -> Scores:
    """Linear discriminant analysis with Ledoit and Wolf's shrinkage, on rows of length one."""
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(unit(features), labels)
    return lambda rows: all_classes(
        log_softmax(model.decision_function(unit(rows)), axis=1), model.classes_, num_classes
    )


def all_classes(found: np.ndarray, classes: np.ndarray, num_classes: int) -> np.ndarray:
    """Columns for classes that no training row had."""
    if len(classes) == num_classes:
        return found
    out = np.full((len(found), num_classes), -30.0)
    out[:, classes] = found
    return out
