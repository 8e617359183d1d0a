"""The rows of a fit or a prediction: arrays, tensors, a feature store, a loader, or an iterator of batches."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from sklearn.utils import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,  # pyright: ignore[reportPrivateUsage] - all of scikit-learn's estimators use it
    validate_data,
)
from torch import Tensor
from torch.utils.data import DataLoader

from .._checks import check_array, check_strided, check_unmasked
from ..features import FeatureStore
from ..features.provenance import FINGERPRINT_KEYS
from .predicting import are_plain
from .rows import Integers, Rows, fitting_rows

Array = npt.NDArray[Any]
_SINGLE = (np.float32, np.float16)  # half precision becomes float32 later, in pieces


def given_rows(estimator: Any, X: Any, y: Any, sample_weight: Any) -> tuple[Rows, Array, dict[str, Any] | None]:
    """Read and check the rows, labels and weights for a fit: the fitting rows, the labels (K,), a store's backbone.

    Raises:
        TypeError, ValueError: unless there are finite features of at least two rows, and labels of two classes.
    """
    rows, y, backbone = training_rows(X, y)
    with naming("`X` must be features (N, D) and `y` labels (N,)"):
        found, y = validate_data(estimator, rows, y, dtype=[*_SINGLE, np.float64], ensure_min_samples=2)
        check_classification_targets(y)
    features = cast("Array", found)
    if sample_weight is not None:
        sample_weight = _weights(sample_weight, features)
    classes, targets = np.unique(y, return_inverse=True)
    present = len(classes) if sample_weight is None else len(np.unique(targets[sample_weight > 0]))
    if present < 2:
        raise ValueError(f"`y` must have at least 2 classes, got one class: {classes[:1].tolist()}")
    targets = targets.astype(np.int64)
    by_class = _class_weights(estimator.class_weight, classes, targets, sample_weight)
    return fitting_rows(features, targets, sample_weight, by_class), classes, backbone


def _weights(sample_weight: Any, features: Array) -> Array:
    if isinstance(sample_weight, bool | np.bool_):
        raise TypeError(f"`sample_weight` must be numbers ≥ 0, got {sample_weight!r}")
    check_array(sample_weight, "sample_weight", kinds="biuf", expected="numbers ≥ 0")
    with naming("`sample_weight` must be numbers (N,) ≥ 0"):
        weights = _check_sample_weight(sample_weight, features, dtype=np.float64)
    if (weights < 0).any() or not weights.any():
        raise ValueError("`sample_weight` must be numbers ≥ 0 that are not all zero")
    return weights


def _class_weights(class_weight: Any, classes: Array, targets: Integers, sample_weight: Array | None) -> Array | None:
    """(K,) weights of the classes; ``"balanced"``: Σw / (K Σ_{y=k} w)."""
    if class_weight is None:
        return None
    if isinstance(class_weight, str) and class_weight == "balanced":
        mass = np.bincount(targets, weights=sample_weight, minlength=len(classes))
        return np.where(mass > 0, mass.sum() / (len(classes) * np.maximum(mass, 1e-300)), 0.0)
    with naming("`class_weight` must have a weight for each class"):
        weights = compute_class_weight(class_weight, classes=classes, y=classes[targets])
    return np.asarray(weights, dtype=np.float64)


def features_of(estimator: Any, X: Any) -> Array:
    """Read features (N, D) for a prediction; their width must be that of the fit."""
    features = rows_of(X, estimator.backbone_)
    if not hasattr(estimator, "feature_names_in_") and are_plain(features, estimator.n_features_in_):
        return features
    with naming("`X` must be features (N, D)"):
        return cast(
            "Array", validate_data(estimator, features, dtype=[np.float64, np.float32, np.float16], reset=False)
        )


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
            y = np.concatenate([np.asarray(as_array(batch[1])) for batch in pairs]) if pairs else np.zeros(0)
        features = _joined(pairs)
    check_readable(features, "X", text=False)
    check_readable(y, "y", text=True)
    with naming("`X` must be features (N, D) and `y` labels (N,)"):
        y = None if y is None else as_array(y)
        _refuse_missing(y)
        return as_array(features), y, known


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
        return as_array(X)


def _is_stream(X: Any) -> bool:
    return isinstance(X, DataLoader | Iterator)


def _batches(X: Any) -> list[Any]:
    """Read all batches; a loader draws a seed from torch's global generator, which is restored."""
    with torch.random.fork_rng(devices=[], enabled=isinstance(X, DataLoader)):
        return list(X)


def _joined(batches: list[Any]) -> npt.NDArray[Any]:
    """Join the features (N, D) of batches; a batch is the features, or a tuple that begins with them."""
    with naming("`X` must give batches of features (N, D)"):
        parts = [np.asarray(as_array(batch[0] if isinstance(batch, list | tuple) else batch)) for batch in batches]
        if not parts:
            raise ValueError("`X` must give at least one batch, got none: an iterator can be read once only")
        return np.concatenate(parts)


def as_array(values: Any) -> Any:
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


def check_readable(values: object, name: str, *, text: bool) -> None:
    """Refuse masked arrays, tensors that are sparse, nested or without values, and text unless ``text`` allows it."""
    check_unmasked(values, name)
    if isinstance(values, Tensor):
        check_strided(values, name)
        return
    if text:
        return
    kind = getattr(getattr(values, "dtype", None), "kind", "")
    if kind in ("U", "S") or isinstance(values, str | bytes):
        raise TypeError(f"`{name}` must be numbers, got text; convert it explicitly")
    if kind == "O" or isinstance(values, list | tuple):
        with naming(f"`{name}` must be features (N, D)"):
            plain = np.asarray(values)
        objects = plain.flat if plain.dtype.kind == "O" else ()
        if plain.dtype.kind in "US" or any(isinstance(one, str | bytes) for one in objects):
            raise TypeError(f"`{name}` must be numbers, got text; convert it explicitly")


@contextmanager
def naming(expected: str) -> Generator[None]:
    """Put ``expected``, which names the argument, before the messages of other libraries' errors; keep their type."""
    try:
        yield
    except (ValueError, TypeError, RuntimeError, ArithmeticError, AttributeError, LookupError) as error:
        if "`" in str(error):
            raise
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{expected}: {error}") from error
