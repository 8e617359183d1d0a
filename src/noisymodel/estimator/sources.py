"""What a classifier is given: arrays, or a feature store that says which backbone its rows are of."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..features import FeatureStore
from ..features.provenance import FINGERPRINT_KEYS


def training_rows(X: Any, y: Any) -> tuple[Any, Any, dict[str, Any] | None]:
    """Features, labels (a store's own where none are given), and where a store's features come from, if it says so."""
    if not isinstance(X, FeatureStore):
        return X, y, None
    if y is None:
        if X.labels is None:
            raise ValueError(f"`y` is missing, and the store {X.path} has no labels")
        y = np.asarray(X.labels)
    known = {key: X.metadata[key] for key in FINGERPRINT_KEYS if key in X.metadata}
    return np.asarray(X.features), y, known or None


def rows_of(X: Any, backbone: dict[str, Any] | None) -> Any:
    """Features to predict on; a store of another backbone than the head was fitted on is an error."""
    if not isinstance(X, FeatureStore):
        return X
    if backbone is not None:
        X.check_backbone(backbone)
    return np.asarray(X.features)
