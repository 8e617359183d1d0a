"""The methods of the tables: scikit-learn's baselines, and the library's heads with the same interface."""

from __future__ import annotations

import ast
import hashlib
import inspect
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

import noisymodel
from noisymodel import NMTuneClassifier

from . import baselines
from .baselines import LARGEST_SVC, Scores, all_classes
from .calibrated import logistic_by_loss

EPOCHS = 10  # of the heads with fixed weights, raised to 300 steps


class Method(NamedTuple):
    """A row of the tables."""

    title: str
    fit: Callable[[np.ndarray, np.ndarray, int, int], Scores]
    of_library: bool
    probabilities: bool = True
    largest: int | None = None  # training rows; with more it is left out


def estimator(**settings: Any) -> Callable[[np.ndarray, np.ndarray, int, int], Scores]:
    """`NMTuneClassifier` with these settings."""

    def fit(features: np.ndarray, labels: np.ndarray, num_classes: int, seed: int) -> Scores:
        torch.set_num_threads(1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = NMTuneClassifier(random_state=seed, **settings).fit(features, labels)

        def scores(rows: np.ndarray) -> np.ndarray:
            found = np.log(np.maximum(model.predict_proba(rows), 1e-13))
            return all_classes(found, model.classes_, num_classes)

        return scores

    return fit


METHODS = {
    "logistic": Method("logistic regression, C chosen", baselines.logistic, of_library=False),
    "logistic-loss": Method("logistic regression, C by log-loss", logistic_by_loss, of_library=False),
    "kernel": Method("kernel logistic regression", baselines.kernel, of_library=False),
    "svc": Method(
        "support-vector classifier",
        baselines.support_vectors,
        of_library=False,
        probabilities=False,
        largest=LARGEST_SVC,
    ),
    "lda": Method("shrinkage LDA", baselines.discriminant, of_library=False),
    "mlp": Method("MLP", estimator(method="mlp", weights="fixed", epochs=EPOCHS), of_library=True),
    "mlp-chosen": Method(
        "MLP, smoothing and rate chosen", estimator(method="mlp", weights="auto", epochs=EPOCHS), of_library=True
    ),
    "nmtune": Method("NMTune, fixed weights", estimator(weights="fixed", epochs=EPOCHS), of_library=True),
    "paper": Method('NMTune, `preset="paper"`', estimator(preset="paper", epochs=EPOCHS), of_library=True),
    "official": Method('NMTune, `preset="official"`', estimator(preset="official", epochs=EPOCHS), of_library=True),
    "default": Method("`NMTuneClassifier()`", estimator(), of_library=True),
}
BASELINES = ("logistic", "logistic-loss", "kernel", "svc", "lda", "mlp", "mlp-chosen")
ABLATIONS = {
    "default": METHODS["default"],
    "no-consistency": Method("without consistency", estimator(consistency_weight=0.0), of_library=True),
    "no-covariance": Method("without covariance", estimator(covariance_weight=0.0), of_library=True),
    "no-dominant": Method("without the dominant singular value", estimator(dominant_weight=0.0), of_library=True),
    "no-noise": Method("without noise on the input", estimator(input_noise=0.0), of_library=True),
    "no-regularizer": Method(
        "without any of the three",
        estimator(consistency_weight=0.0, covariance_weight=0.0, dominant_weight=0.0),
        of_library=True,
    ),
}
ALL = METHODS | ABLATIONS


LIBRARY = ("estimator", "heads", "sweeping", "training", "losses", "losses.py", "objective.py")


@cache
def version(name: str) -> str:
    """Twelve digits that change with the code, not the comments, that a method's results depend on."""
    root = Path(noisymodel.__file__).parent
    paths = [Path(inspect.getsourcefile(ALL[name].fit) or "")]
    if ALL[name].of_library:
        paths = [
            path for part in LIBRARY for path in ([root / part], (root / part).rglob("*.py"))[not part.endswith(".py")]
        ]
    digest = hashlib.sha256()
    for path in sorted(path for path in paths if path.is_file()):
        digest.update(ast.dump(ast.parse(path.read_text(encoding="utf-8"))).encode())
    return digest.hexdigest()[:12]
