"""Intrinsic dimension: scikit-dimension's numbers, the naive reference, laws, copies, bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from noisymodel.spectrum import dimension, intrinsic_dimension
from reference import geometry as naive


def manifold(num_rows: int, dimensions: int, num_features: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.standard_normal((num_rows, dimensions)) @ random.standard_normal((dimensions, num_features))


# scikit-dimension 0.5.0, TwoNN(discard_fraction=..., method=...), numpy 2.4.6, on the rows below
GOLDEN = [
    ("fit", 0.1, 3.9996110610247904),
    ("fit", 0.3, 4.0686818551732085),
    ("likelihood", 0.1, 3.9021346850298846),
    ("likelihood", 0.0, 4.148535060560648),
]


@pytest.mark.parametrize(("method", "discard", "expected"), GOLDEN)
def test_golden(method: str, discard: float, expected: float) -> None:
    factors = np.random.default_rng(7).standard_normal((300, 4)), np.random.default_rng(8).standard_normal((4, 12))
    rows = factors[0] @ factors[1]
    assert rows.sum() == pytest.approx(94.23392177187121, rel=1e-9)
    assert intrinsic_dimension(rows, method=method, discard=discard) == pytest.approx(expected, rel=1e-9)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000), st.integers(5, 40), st.integers(1, 6), st.sampled_from([0.0, 0.1, 0.25]))
def test_equals_the_naive_reference(seed: int, num_rows: int, dimensions: int, discard: float) -> None:
    rows = manifold(num_rows, dimensions, 7, seed)
    expected = naive.intrinsic_dimension(rows, discard)
    assert intrinsic_dimension(rows, discard=discard) == pytest.approx(expected, rel=1e-7)
    expected = naive.intrinsic_dimension_by_likelihood(rows, discard)
    assert intrinsic_dimension(rows, method="likelihood", discard=discard) == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("method", ["fit", "likelihood"])
@pytest.mark.parametrize("dimensions", [1, 2, 5])
def test_the_dimension_of_a_curved_manifold(method: str, dimensions: int) -> None:
    place = np.random.default_rng(0).uniform(-2, 2, (1500, dimensions))
    rows = np.hstack([np.sin(place), np.cos(place), place**2 / 4])
    assert intrinsic_dimension(rows, method=method) == pytest.approx(dimensions, rel=0.08)


def test_rotation_shift_scale_order_and_copies_change_nothing() -> None:
    rows = manifold(200, 3, 8, 0)
    expected = intrinsic_dimension(rows)
    turn = np.linalg.qr(np.random.default_rng(1).standard_normal((8, 8)))[0]
    assert intrinsic_dimension(1e3 * rows @ turn + 7.0) == pytest.approx(expected, rel=1e-6)
    assert intrinsic_dimension(1e-200 * rows) == pytest.approx(expected, rel=1e-9)
    assert intrinsic_dimension(rows[::-1].copy()) == pytest.approx(expected, rel=1e-9)
    assert intrinsic_dimension(np.concatenate([rows, rows[:50], rows[:10]])) == pytest.approx(expected, rel=1e-9)


def test_a_large_mean_does_not_blur_neighbours() -> None:
    rows = np.round(manifold(200, 3, 8, 0) * 2**20) / 2**20  # so that adding the mean rounds nothing
    assert intrinsic_dimension(rows + 2.0**27) == pytest.approx(intrinsic_dimension(rows), rel=1e-9)


def test_close_neighbours_are_not_lost_in_the_matrix_product() -> None:
    copies = np.repeat(manifold(40, 3, 8, 0), 3, axis=0)
    rows = copies + 1e-7 * np.random.default_rng(1).standard_normal(copies.shape)
    assert intrinsic_dimension(rows) == pytest.approx(naive.intrinsic_dimension(rows, 0.1), rel=1e-6)


@pytest.mark.parametrize("entries", [1, 1000, 1 << 22])
def test_blocks_of_any_size_give_the_same(monkeypatch: pytest.MonkeyPatch, entries: int) -> None:
    rows = manifold(60, 3, 8, 0)
    expected = naive.intrinsic_dimension(rows, 0.1)
    monkeypatch.setattr(dimension, "_ENTRIES", entries)
    assert intrinsic_dimension(rows) == pytest.approx(expected, rel=1e-9)


def test_kinds_and_precisions() -> None:
    rows = manifold(100, 3, 8, 0).astype(np.float32)
    expected = intrinsic_dimension(rows.astype(np.float64))
    assert intrinsic_dimension(rows) == pytest.approx(expected, rel=1e-12)
    assert intrinsic_dimension(torch.from_numpy(rows)) == pytest.approx(expected, rel=1e-12)
    assert type(intrinsic_dimension(torch.from_numpy(rows))) is float


def test_equal_distances_have_no_dimension() -> None:
    assert intrinsic_dimension(np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]]), discard=0.0) > 0
    triangle = np.eye(3)
    for method in ("fit", "likelihood"):
        assert intrinsic_dimension(triangle, discard=0.0, method=method) > 1e6


@pytest.mark.parametrize(
    ("rows", "options", "error", "message"),
    [
        (np.ones((9, 2)), {}, ValueError, "`features` must have at least 3 different rows, got 1"),
        (np.eye(3)[[0, 0, 1, 1]], {}, ValueError, "`features` must have at least 3 different rows, got 2"),
        (np.ones(3), {}, ValueError, r"`features` must have shape \(N, D\) with N, D >= 1, got \(3,\)"),
        (np.array([[1.0], [math.inf], [2.0]]), {}, ValueError, "`features` must be finite: row 1"),
        (np.eye(3, dtype=int), {}, TypeError, "`features` must be floating point"),
        (np.eye(4), {"discard": 1.0}, ValueError, r"`discard` must be in \[0, 1\), got 1.0"),
        (np.eye(4), {"discard": -0.1}, ValueError, "`discard` must be in"),
        (np.eye(4), {"discard": 0.7}, ValueError, "`discard` must leave at least 2 of the 4 ratios, got 0.7 which le"),
        (np.eye(4), {"method": "mle"}, ValueError, "`method` must be one of 'fit', 'likelihood', got 'mle'"),
    ],
)
def test_bad_input_is_named(rows: np.ndarray, options: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        intrinsic_dimension(rows, **options)
