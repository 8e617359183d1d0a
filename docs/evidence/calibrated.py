"""The same logistic regression with C chosen by log-loss: the baseline for probabilities.

Chosen by accuracy, C is often small enough to leave probabilities far too even; that would be a weak baseline for
log-loss and calibration.
"""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.linear_model import LogisticRegressionCV
from sklearn.model_selection import StratifiedKFold

from .baselines import FOLDS, LARGEST_FOLDED, Scores, all_classes, unit


def logistic_by_loss(features: np.ndarray, labels: np.ndarray, num_classes: int, seed: int) -> Scores:
    """Logistic regression on rows of length one; C by cross-validated log-loss."""
    rows = unit(features)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folds = list(StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(rows, labels))
        cv = folds if len(labels) <= LARGEST_FOLDED else folds[:1]
        strengths = [1, 3, 10, 30, 100, 300, 1000]
        model = LogisticRegressionCV(Cs=strengths, cv=cv, max_iter=200, scoring="neg_log_loss").fit(rows, labels)
    return lambda given: all_classes(model.predict_log_proba(unit(given)), model.classes_, num_classes)
