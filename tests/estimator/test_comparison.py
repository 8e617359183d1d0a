from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from noisymodel import FeatureStore, NMTuneClassifier
from noisymodel.errors import FeatureStoreError
from noisymodel.estimator import comparison as module
from noisymodel.estimator.comparison import compare

SETTINGS = {"epochs": 3, "minimum_steps": 80, "batch_size": 16, "learning_rate": 1e-2}


def rows(count: int = 150, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    return random.standard_normal((count, 4)) + 2 * np.eye(4)[labels], np.array(["a", "b", "c"])[labels]


def test_all_methods_see_the_same_rows_and_the_figures_are_theirs() -> None:
    features, labels = rows()
    test = rows(60, seed=1)
    found = compare(features, labels, tests={"shift": test}, seed=3, **SETTINGS)
    kept, out = module._split(labels, 0.2, 3)
    assert found.num_training == len(kept) == 120
    assert list(found.classifiers) == ["nmtune", "linear", "kernel", "mlp"]
    assert [(row.method, row.data) for row in found.scores] == [(row.method, row.data) for row in found.accuracies]
    assert all(score >= 0 for row in found.scores for score in row.scores)
    assert [(row.method, row.data, row.rows) for row in found.accuracies] == [
        (method, data, size) for method in found.classifiers for data, size in (("validation", 30), ("shift", 60))
    ]
    alone = NMTuneClassifier(random_state=3, **SETTINGS).fit(features[kept], labels[kept])
    first = found.accuracies[0]
    assert first.accuracy == alone.score(features[out], labels[out])
    assert first.low < first.accuracy < first.high or first.accuracy == 1
    right = {name: one.predict(test[0]) == test[1] for name, one in found.classifiers.items()}
    (difference,) = [row for row in found.differences if (row.baseline, row.data) == ("mlp", "shift")]
    pairs = right["nmtune"].astype(float) - right["mlp"]
    assert difference.mean == pytest.approx(pairs.mean())
    assert difference.high - difference.mean == pytest.approx(1.959964 * pairs.std(ddof=1) / math.sqrt(60))


def test_wilson_interval() -> None:
    found = module._accuracy("m", "d", np.array([True] * 8 + [False] * 2))
    assert (found.low, found.high) == (pytest.approx(0.4901625), pytest.approx(0.9433178))


def test_the_split_is_by_class_and_never_takes_all() -> None:
    labels = np.array([0] * 50 + [1] * 10 + [2])
    kept, out = module._split(labels, 0.2, 0)
    assert np.bincount(labels[out], minlength=3).tolist() == [10, 2, 0]
    assert sorted([*kept, *out]) == list(range(61))
    assert not np.array_equal(out, module._split(labels, 0.2, 1)[1])
    assert np.bincount(labels[module._split(labels, 0.9, 0)[1]], minlength=3).tolist() == [45, 9, 0]


def test_baselines_get_what_concerns_them() -> None:
    features, labels = rows()
    found = compare(features, labels, method="linear", baselines=["linear"], **SETTINGS)
    assert list(found.classifiers) == ["linear"]
    assert not found.differences
    found = compare(features, labels, baselines=["linear"], consistency_weight=0.5, **SETTINGS)
    assert found.classifiers["nmtune"].consistency_weight == 0.5
    assert found.classifiers["linear"].minimum_steps == 80
    own = {"dropout": 0.1, "depth": 2, "learning_rate": 3e-3, "label_smoothing": 0.1, "weight_decay": 0.0}
    found = compare(features, labels, **(SETTINGS | own))
    assert {name: getattr(found.classifiers["mlp"], name) for name in own} == own
    found = compare(features, labels, baselines=["mlp"], preset="paper", **SETTINGS)
    assert found.classifiers["mlp"].residual is False
    assert found.classifiers["mlp"].weights == "fixed"


def test_stores(tmp_path: Path) -> None:
    features, labels = rows()
    numbers = np.unique(labels, return_inverse=True)[1]
    for name, backbone in (("one", "x"), ("same", "x"), ("other", "y")):
        with FeatureStore.create(tmp_path / name, num_features=4, metadata={"backbone": backbone}) as store:
            store.append(torch.from_numpy(features), numbers)
    one, same, other = (FeatureStore.open(tmp_path / name) for name in ("one", "same", "other"))
    found = compare(one, tests={"same": (same, None)}, baselines=[], **SETTINGS)
    assert found.classifiers["nmtune"].backbone_ == {"backbone": "x"}
    assert found.accuracies[1].rows == 150
    with pytest.raises(FeatureStoreError, match="another backbone"):
        compare(one, tests={"other": (other, None)}, baselines=[], **SETTINGS)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"validation_fraction": 0.0}, "`validation_fraction`"),
        ({"validation_fraction": 1.0}, "`validation_fraction`"),
        ({"validation_fraction": 0.001}, "holds nothing out"),
        ({"baselines": ["nmtune"]}, "`baselines`"),
        ({"seed": -1}, "`seed`"),
        ({"labels": [0.5] * 150}, "Unknown label type"),
        ({"tests": {"t": (np.zeros((1, 5)), ["a"])}}, r"`tests\['t'\]` has shape \(1, 5\), expected \(N, 4\)"),
        ({"labels": [0, 1]}, r"`labels` must have one entry per row of `features` \(150, 4\), got \(2,\)"),
        ({"tests": {"t": (np.zeros((1, 4)), ["z"])}}, r"`tests\['t'\]` has labels that the training rows do not .*'z'"),
    ],
)
def test_bad_arguments(change: dict, told: str) -> None:
    features, labels = rows()
    with pytest.raises(ValueError, match=told):
        compare(features, **({"labels": labels} | SETTINGS | change))
