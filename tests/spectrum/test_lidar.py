"""LiDAR: the definition by generalised eigenvalues, its laws and limits, bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from noisymodel.spectrum import lidar
from reference import geometry as naive


def classed(num_rows: int, num_features: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = np.r_[np.arange(classes), 0, random.integers(classes, size=num_rows - classes - 1)]
    return 2 * random.standard_normal((classes, num_features))[labels] + random.standard_normal(
        (num_rows, num_features)
    ), labels


@settings(deadline=None, max_examples=30)
@given(
    st.integers(0, 1000), st.integers(2, 12), st.sampled_from([(60, 5), (25, 8), (20, 30)]),
    st.sampled_from([1e-4, 0.3]), st.sampled_from([0.0, 1e-7, 1e-2]),
)  # fmt: skip
def test_equals_the_naive_reference(seed, classes, shape, delta: float, epsilon: float) -> None:
    features, labels = classed(*shape, classes, seed)
    found = lidar(features, labels, delta=delta, epsilon=epsilon)
    assert found == pytest.approx(naive.lidar(features, labels, delta, epsilon), rel=1e-6)
    if not epsilon:
        assert 1 - 1e-9 <= found <= min(shape[1], classes - 1) * (1 + 1e-9)


def test_the_defaults() -> None:
    features, labels = classed(80, 6, 4, 0)
    assert lidar(features, labels) == pytest.approx(naive.lidar(features, labels, 1e-4, 1e-7), rel=1e-9)
    assert lidar(features, labels) != lidar(features, labels, delta=1e-2)
    assert lidar(features, labels) != lidar(features, labels, epsilon=1e-5)


def test_equal_directions_count_as_one_each() -> None:
    means = np.vstack([np.eye(4), -np.eye(4)])  # eight classes along four axes
    noise = np.vstack([np.eye(4), -np.eye(4)])
    features = (10 * means[:, None] + noise[None]).reshape(-1, 4)
    assert lidar(features, np.arange(8).repeat(8), epsilon=0.0) == pytest.approx(4.0, rel=1e-9)


def test_without_delta_it_is_invariant_to_linear_maps_and_with_it_is_not() -> None:
    features, labels = classed(100, 5, 7, 0)
    turned = 0.03 * (features + 3.0) @ np.random.default_rng(1).standard_normal((5, 5))
    plain = lidar(features, labels, delta=0.0)
    assert lidar(turned, labels, delta=0.0) == pytest.approx(plain, rel=1e-7)
    assert abs(lidar(turned, labels, delta=0.1) - plain) > 0.01


def test_row_order_label_names_and_kinds_change_nothing() -> None:
    features, labels = classed(60, 5, 4, 0)
    expected = lidar(features, labels)
    order = np.random.default_rng(0).permutation(60)
    assert lidar(features[order], labels[order]) == pytest.approx(expected, rel=1e-9)
    assert lidar(features, np.array(["d", "b", "a", "c"])[labels]) == pytest.approx(expected, rel=1e-9)
    assert lidar(torch.from_numpy(features), torch.from_numpy(labels)) == pytest.approx(expected, rel=1e-12)
    half = features.astype(np.float16)
    assert lidar(half, labels) == pytest.approx(lidar(half.astype(np.float64), labels), rel=1e-12)


def test_equal_means_have_no_directions() -> None:
    features = np.tile(np.array([[1.0, 2.0], [-1.0, -2.0]]), (2, 1))
    assert math.isnan(lidar(features, [0, 0, 1, 1]))


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        (np.zeros(3, dtype=int), ValueError, r"`labels` must have shape \(N,\) = \(4,\), got \(3,\)"),
        (np.zeros(4), TypeError, "`labels` must be whole numbers or strings, got float64"),
        (np.zeros(4, dtype=int), ValueError, "at least two classes, one of them twice, got 1 class of at most 4 rows"),
        (np.arange(4), ValueError, "at least two classes, one of them twice, got 4 classes of at most 1 rows"),
    ],
)
def test_labels_are_checked(labels: np.ndarray, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        lidar(np.eye(4), labels)


def test_features_and_constants_are_checked() -> None:
    with pytest.raises(ValueError, match=r"`features` must have shape \(N, D\) with N, D >= 1, got \(2, 2, 2\)"):
        lidar(np.ones((2, 2, 2)), [0, 1])
    with pytest.raises(ValueError, match="`features` must be finite: row 3"):
        lidar(np.array([[1.0], [2.0], [3.0], [math.nan]]), [0, 0, 1, 1])
    with pytest.raises(ValueError, match=r"`delta` must be in \[0, inf\), got -1"):
        lidar(np.eye(4), [0, 0, 1, 1], delta=-1)
    with pytest.raises(ValueError, match=r"`epsilon` must be in \[0, inf\), got -1"):
        lidar(np.eye(4), [0, 0, 1, 1], epsilon=-1)
    with pytest.raises(ValueError, match="`delta` must be positive where the classes vary in fewer than D directions"):
        lidar(np.eye(4), [0, 0, 1, 1], delta=0)
