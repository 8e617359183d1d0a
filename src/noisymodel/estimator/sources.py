"""The sources of a classifier's rows: arrays, tensors, a feature store, a loader, or an iterator of batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ..features import FeatureStore
from ..features.provenance import FINGERPRINT_KEYS
from .boundary import check_readable, naming


def training_rows(X: Any, y: Any) -> tuple[Any, Any, dict[str, Any] | None]:
    """Features, labels (by default the source's own), and the backbone that a store names, or None.

    Raises:
        ValueError: for missing labels, and for labels that are None.
    """
    known, features = None, X
    if isinstance(X, FeatureStore):
        if y is None and X.labels is None:
            raise ValueError(f"`y` is missing, and the store {X.path} has no labels")
        y = np.asarray(X.labels) if y is None else y
        known = {key: X.metadata[key] for key in FINGERPRINT_KEYS if key in X.metadata} or None
        features = np.asarray(X.features)
    elif _is_stream(X):
        pairs = _batches(X)
        if y is None:
            if any(not isinstance(batch, list | tuple) or len(batch) < 2 for batch in pairs):
                raise ValueError("`X` must give batches of (features, labels), got batches without labels: give `y`")
            y = np.concatenate([np.asarray(_array(batch[1])) for batch in pairs]) if pairs else np.zeros(0)
        features = _joined(pairs)
    check_readable(features, "X", text=False)
    check_readable(y, "y", text=True)
    with naming("`X` must be features (N, D) and `y` labels (N,)"):
        y = None if y is None else _array(y)
        _refuse_missing(y)
        return _array(features), y, known


def check_backbone(X: Any, backbone: dict[str, Any] | None) -> None:
    """Raise for a store of another backbone than that of the fit."""
    if isinstance(X, FeatureStore) and backbone is not None:
        X.check_backbone(backbone)


def rows_of(X: Any, backbone: dict[str, Any] | None) -> Any:
    """Features for a prediction; raise for a store of another backbone than that of the fit."""
    check_backbone(X, backbone)
    if isinstance(X, FeatureStore):
        return np.asarray(X.features)
    if _is_stream(X):
        return _joined(_batches(X))
    if type(X) is not np.ndarray or X.dtype.kind != "f":
        check_readable(X, "X", text=False)
    with naming("`X` must be features (N, D)"):
        return _array(X)


def _is_stream(X: Any) -> bool:
    return isinstance(X, DataLoader | Iterator)


def _batches(X: Any) -> list[Any]:
    """Read all batches; a loader draws a seed from torch's global generator, which is restored."""
    with torch.random.fork_rng(devices=[], enabled=isinstance(X, DataLoader)):
        return list(X)


def _joined(batches: list[Any]) -> npt.NDArray[Any]:
    """Join the features (N, D) of batches; a batch is the features, or a tuple that begins with them."""
    with naming("`X` must give batches of features (N, D)"):
        parts = [np.asarray(_array(batch[0] if isinstance(batch, list | tuple) else batch)) for batch in batches]
        if not parts:
            raise ValueError("`X` must give at least one batch, got none: an iterator can be read once only")
        return np.concatenate(parts)


def _array(values: Any) -> Any:
    """A tensor of any type and device as an array; everything else as it is."""
    if not isinstance(values, Tensor):
        return values
    values = values.detach().cpu()
    if values.dtype in (torch.bfloat16, torch.float16):
        values = values.float()
    return values.numpy()


def _refuse_missing(y: Any) -> None:
    labels = np.asarray(y, dtype=object) if isinstance(y, list | tuple) else y
    if isinstance(labels, np.ndarray) and labels.dtype == object and labels.ndim == 1:
        missing = np.flatnonzero([label is None for label in labels])
        if len(missing):
            shown = ", ".join(map(str, missing[:5].tolist()))
            raise ValueError(
                f"`y` must have a label for every row, got None in {len(missing)} of {len(labels)} rows "
                f"(rows {shown}): leave those rows out"
            )
