"""Comparison of a classifier with baselines: fitted on the same rows, validated on the same held-out rows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats
from sklearn.utils.multiclass import check_classification_targets

from .._checks import check_choice, check_number, check_seed
from ..features import FeatureStore
from ..files.spilled import taken
from ..heads.nmtune import PRESETS
from .classifier import NMTuneClassifier
from .reading import rows_of, training_rows
from .rows import Integers
from .scores import Scores, scores
from .settings import ARGUMENTS

VALIDATION = "validation"
_LEVEL = 0.95
_SHARED = (
    "weights",
    "epochs",
    "minimum_steps",
    "batch_size",
    "device",
    "verbose",
    "class_weight",
    "calibrate",
    "normalize",
)
_OF_NETWORKS = (*ARGUMENTS["mlp"], "learning_rate", "weight_decay", "warmup")

Array = npt.NDArray[Any]


class Accuracy(NamedTuple):
    """A method's accuracy on some rows, with Wilson's 95 % interval; all in [0, 1]."""

    method: str
    data: str
    rows: int
    accuracy: float
    low: float
    high: float


class Difference(NamedTuple):
    """Accuracy of the method minus that of a baseline on the same rows, with a paired 95 % interval (normal)."""

    method: str
    baseline: str
    data: str
    mean: float
    low: float
    high: float


class Scored(NamedTuple):
    """A method's `Scores` on some rows."""

    method: str
    data: str
    scores: Scores


class Comparison(NamedTuple):
    """The result of `compare`: the fitted classifiers by method, the requested one first, and the figures."""

    classifiers: dict[str, NMTuneClassifier]
    accuracies: list[Accuracy]
    differences: list[Difference]
    num_training: int
    scores: list[Scored]


def compare(
    features: Any,
    labels: Any = None,
    *,
    method: str = "nmtune",
    baselines: Sequence[str] = ("linear", "kernel", "mlp"),
    validation_fraction: float = 0.2,
    tests: Mapping[str, tuple[Any, Any]] | None = None,
    seed: int = 0,
    **settings: Any,
) -> Comparison:
    """Fit a method and its baselines on the same rows, and evaluate all on held-out rows and on tests.

    ``validation_fraction`` of every class is held out (a class with one row stays in training). The baselines share
    the ``weights`` ("auto" also chooses the MLP's smoothing and rate), epochs, batch size, seed and device. The MLP
    also shares NMTune's network, smoothing, learning rate and weight decay.

    Args:
        features: (N, D), an array or a `FeatureStore`.
        labels: (N,); ``None``: the store's.
        method: ``"nmtune"``, ``"mlp"`` or ``"linear"``.
        baselines: other methods of these.
        validation_fraction: in (0, 1).
        tests: further (features, labels) to evaluate on, by name; their labels must be among those of training.
        seed: the seed of the split and of all fits.
        settings: arguments of `NMTuneClassifier` for the method; the baselines take those that concern all methods.

    Raises:
        ValueError: for arguments that `NMTuneClassifier` refuses, and for test labels that training does not have.
        FeatureStoreError: for a test store of another backbone.

    >>> import numpy as np
    >>> from noisymodel.estimator.comparison import compare
    >>> random = np.random.default_rng(0)
    >>> labels = np.arange(200) % 2
    >>> features = random.normal(size=(200, 8)) + 2.0 * labels[:, None]
    >>> found = compare(features, labels, baselines=["linear"], epochs=20, seed=1)
    >>> [(row.method, row.rows, row.accuracy > 0.8) for row in found.accuracies]
    [('nmtune', 40, True), ('linear', 40, True)]
    """
    check_number(validation_fraction, "validation_fraction", minimum=0, maximum=0.999, exclusive_minimum=True)
    check_seed(seed)
    for baseline in baselines:
        check_choice(baseline, "baselines", ("linear", "kernel", "mlp"))
    rows, labels, backbone = training_rows(features, labels)
    rows, labels = np.asarray(rows), np.asarray(labels)
    if rows.ndim != 2 or labels.shape != rows.shape[:1]:
        raise ValueError(f"`labels` must have one entry per row of `features` {rows.shape}, got {labels.shape}")
    check_classification_targets(labels)
    kept, out = _split(labels, validation_fraction, seed)
    width, inside = rows.shape[1], np.ones(len(labels))
    inside[out] = 0  # rows of weight zero are no training rows, and nothing copies those that are
    evaluated = {VALIDATION: (taken(rows, out), labels[out])}
    for name, (test, wanted) in (tests or {}).items():
        given, wanted, _ = training_rows(test, wanted) if isinstance(test, FeatureStore) else (test, wanted, None)
        rows_of(test, backbone)
        if np.ndim(given) != 2 or given.shape[1] != width:
            raise ValueError(f"`tests[{name!r}]` has shape {np.shape(given)}, expected (N, {width}) features")
        evaluated[name] = (given, _known_labels(name, np.asarray(wanted), labels))
    classifiers: dict[str, NMTuneClassifier] = {}
    right: dict[tuple[str, str], npt.NDArray[np.bool_]] = {}
    for own in dict.fromkeys([method, *baselines]):
        one = NMTuneClassifier(**_settings(own, method, settings), random_state=seed).fit(rows, labels, inside)
        one.backbone_ = backbone
        classifiers[own] = one
        right.update({(own, name): one.predict(x) == y for name, (x, y) in evaluated.items()})
    accuracies = [_accuracy(own, name, hits) for (own, name), hits in right.items()]
    differences = list(_differences(method, classifiers, evaluated, right))
    scored = [
        Scored(own, name, scores(one.predict_proba(x), np.searchsorted(one.classes_, y).astype(np.int64)))
        for own, one in classifiers.items()
        for name, (x, y) in evaluated.items()
    ]
    return Comparison(classifiers, accuracies, differences, len(kept), scored)


def _settings(own: str, method: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of the method, or those that concern a baseline; the MLP has NMTune's network and training."""
    start = {"method": own}
    if own == method:
        return {**start, **settings}
    shared = (*_SHARED, *(_OF_NETWORKS if {own, method} == {"nmtune", "mlp"} else ()))
    preset = settings.get("preset")
    given = {**PRESETS.get(preset or "", {}), **settings, **({"weights": "fixed"} if preset else {})}
    return {**start, **{key: given[key] for key in shared if key in given}}


def _split(labels: Array, fraction: float, seed: int) -> tuple[Integers, Integers]:
    """Ascending indices of training and held-out rows: ``fraction`` of every class, rounded, but never all of it."""
    random = np.random.default_rng(seed)
    parts: list[Integers] = []
    for label in np.unique(labels):
        own = random.permutation(np.flatnonzero(labels == label))
        parts.append(own[: min(round(fraction * len(own)), len(own) - 1)])
    out = np.sort(np.concatenate(parts)).astype(np.int64)
    if not len(out):
        raise ValueError(f"`validation_fraction` {fraction:g} of {len(labels)} rows holds nothing out: give more rows")
    return np.setdiff1d(np.arange(len(labels)), out), out


def _known_labels(name: str, wanted: Array, labels: Array) -> Array:
    unseen = np.setdiff1d(wanted, labels)
    if len(unseen):
        shown = ", ".join(map(repr, unseen[:5].tolist()))
        raise ValueError(f"`tests[{name!r}]` has labels that the training rows do not have: {shown}")
    return wanted


def _accuracy(method: str, name: str, hits: npt.NDArray[np.bool_]) -> Accuracy:
    found = stats.binomtest(int(hits.sum()), len(hits)).proportion_ci(_LEVEL, method="wilson")
    return Accuracy(method, name, len(hits), float(hits.mean()), float(found.low), float(found.high))


def _differences(
    method: str,
    classifiers: Mapping[str, object],
    evaluated: Mapping[str, object],
    right: Mapping[tuple[str, str], npt.NDArray[np.bool_]],
) -> Iterator[Difference]:
    quantile = float(stats.norm.ppf(0.5 + _LEVEL / 2))
    for name in evaluated:
        for baseline in classifiers:
            if baseline == method:
                continue
            pairs = right[method, name].astype(np.float64) - right[baseline, name]
            error = quantile * float(pairs.std(ddof=1)) / math.sqrt(len(pairs)) if len(pairs) > 1 else math.nan
            mean = float(pairs.mean())
            yield Difference(method, baseline, name, mean, mean - error, mean + error)
