"""Early warnings about suspicious features and failed training."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning

from .._checks import warn_caller

_WILD = 1e3
_DEAD = 1e-6  # of the median: mere rounding. MiniLM's sentence embeddings have such a dimension, which is harmless
_ROWS = 10_000


class SuspiciousFeaturesWarning(UserWarning):
    """The features are usable, but probably not the intended ones."""


def suspect_features(features: npt.NDArray[Any], *, scaled: bool) -> None:
    """Warn of constant features and of wild scales, from at most 10,000 rows; ``scaled``: the head scales rows."""
    some = features[:: math.ceil(len(features) / _ROWS)].astype(np.float64)
    spread, size = some.std(axis=0), np.sqrt(np.mean(some**2))
    constant = spread <= 1e-12 * max(1.0, size)
    if constant.all():
        _warn("all features are constant, so that no class can be told from another: check how they were extracted")
        return
    if constant.sum() > features.shape[1] // 2:
        _warn(
            f"{constant.sum()} of {features.shape[1]} features are constant: check the layer that they were taken "
            "from, or drop them (sklearn.feature_selection.VarianceThreshold)"
        )
    live = spread[spread > max(_DEAD * float(np.median(spread)), 1e-12 * max(1.0, size))]
    if live.max() > _WILD * live.min():
        _warn(
            f"the features' standard deviations run from {live.min():.1e} to {live.max():.1e}: large ones will hide "
            "small ones; put sklearn.preprocessing.StandardScaler before the classifier"
        )
    elif not scaled and not 1 / _WILD <= size <= _WILD:
        _warn(f"the features' root mean square is {size:.1e}: scale them to about 1, learning rates are made for that")


def suspect_training(history: list[dict[str, float]], num_classes: int) -> None:
    """Warn if the head has hardly learned: its last loss is close to that of guessing."""
    guessing, last = math.log(num_classes), history[-1]["train_task"]
    if last > 0.9 * guessing:
        warn_caller(
            f"the training loss is {last:.3g} after {len(history)} epochs, that of guessing is {guessing:.3g}: the "
            "classifier has hardly learned; raise `epochs` or `learning_rate`, or lower the regularizers' weights",
            ConvergenceWarning,
        )


def _warn(message: str) -> None:
    warn_caller(message, SuspiciousFeaturesWarning)
