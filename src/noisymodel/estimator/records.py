"""A fitted classifier's attributes as a record for JSON, and back."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from .procedure import Selection

C = TypeVar("C")


def record_of(classifier: Any) -> dict[str, Any]:
    """The parameters that JSON can hold, and the fitted attributes except the head and the labels."""
    parameters = classifier.get_params(deep=False)
    parameters["on_epoch"] = None
    if not isinstance(classifier.random_state, int | np.integer):
        parameters["random_state"] = None
    parameters["device"] = None if classifier.device is None else str(classifier.device)
    if isinstance(classifier.class_weight, dict):
        parameters["class_weight"] = None  # JSON has only string keys; a fitted classifier does not need the weights
    names, selection = getattr(classifier, "feature_names_in_", None), classifier.selection_
    return {
        "parameters": parameters,
        "feature_names": None if names is None else list(names),
        "history": classifier.history_,
        "explanation": classifier.explanation_,
        "selection": selection._asdict() if isinstance(selection, Selection) else None,
        "backbone": classifier.backbone_,
    }


def restored(kind: type[C], head: Any, record: dict[str, Any], classes: npt.NDArray[Any]) -> C:
    """Make a classifier from a head, a record and its labels."""
    loaded: Any = kind(**record["parameters"])
    loaded.head_, loaded.classes_, loaded.n_features_in_ = head, classes, head.in_features
    loaded.backbone_, loaded.history_ = record.get("backbone"), record["history"]
    loaded.n_iter_, loaded.explanation_ = max(1, len(record["history"])), record.get("explanation", "")
    loaded.selection_ = Selection(**record["selection"]) if record.get("selection") else None
    if record["feature_names"] is not None:
        loaded.feature_names_in_ = np.array(record["feature_names"], dtype=object)
    return loaded
