"""The arguments of `NMTuneClassifier.fit` as arrays that scikit-learn has checked."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,  # pyright: ignore[reportPrivateUsage] - all of scikit-learn's estimators use it
    validate_data,
)

from .boundary import check_weights, naming
from .predicting import are_plain
from .sources import rows_of, training_rows

Array = npt.NDArray[Any]


class Given(NamedTuple):
    """Features (N, D), class ids (N,), the labels (K,), weights (N,) or None, and a store's backbone."""

    features: Array
    targets: npt.NDArray[np.int64]
    classes: Array
    sample_weight: Array | None
    backbone: dict[str, Any] | None


def given_rows(estimator: BaseEstimator, X: Any, y: Any, sample_weight: Any) -> Given:
    """Read and check the rows, labels and weights for a fit.

    Raises:
        TypeError, ValueError: unless there are finite features of at least two rows, and labels of two classes.
    """
    rows, y, backbone = training_rows(X, y)
    with naming("`X` must be features (N, D) and `y` labels (N,)"):
        found, y = validate_data(estimator, rows, y, dtype=[np.float32, np.float64], ensure_min_samples=2)
        check_classification_targets(y)
    features = cast("Array", found)
    if sample_weight is not None:
        check_weights(sample_weight)
        with naming("`sample_weight` must be numbers (N,) ≥ 0"):
            sample_weight = _check_sample_weight(sample_weight, features, dtype=np.float64)
        if (sample_weight < 0).any() or not sample_weight.any():
            raise ValueError("`sample_weight` must be numbers ≥ 0 that are not all zero")
    classes, targets = np.unique(y, return_inverse=True)
    present = len(classes) if sample_weight is None else len(np.unique(targets[sample_weight > 0]))
    if present < 2:
        raise ValueError(f"`y` must have at least 2 classes, got one class: {classes[:1].tolist()}")
    return Given(features, targets.astype(np.int64), classes, sample_weight, backbone)


def features_of(estimator: Any, X: Any) -> Array:
    """Read features (N, D) for a prediction; their width must be that of the fit."""
    features = rows_of(X, estimator.backbone_)
    if not hasattr(estimator, "feature_names_in_") and are_plain(features, estimator.n_features_in_):
        return features
    with naming("`X` must be features (N, D)"):
        return cast("Array", validate_data(estimator, features, dtype=[np.float64, np.float32], reset=False))
