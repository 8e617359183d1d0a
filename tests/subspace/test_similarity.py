"""CKA: against the papers' formulas, laws, degenerate and bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noisymodel.subspace import (
    linear_cka,
)
from reference.subspace import gaussian, naive_cka, orthogonal


@pytest.mark.parametrize("debiased", [False, True])
@pytest.mark.parametrize(("rows", "features", "others"), [(30, 5, 8), (10, 20, 6), (10, 4, 30), (6, 40, 50)])
def test_cka_is_that_of_the_kernels(rows: int, features: int, others: int, debiased: bool) -> None:
    a, b = gaussian(rows, features, mean=2.0), gaussian(rows, others, seed=1)
    b[:, :3] += a[:, :3]
    assert linear_cka(a, b, debiased=debiased) == pytest.approx(naive_cka(a, b, debiased), rel=1e-9)


@given(st.integers(0, 100), st.integers(4, 20), st.integers(1, 12), st.booleans())
@settings(deadline=None, max_examples=25)
def test_laws_of_cka(seed: int, rows: int, features: int, debiased: bool) -> None:
    a, b = gaussian(rows, features, seed), gaussian(rows, 5, seed + 1)
    value = linear_cka(a, b, debiased=debiased)
    assert linear_cka(b, a, debiased=debiased) == pytest.approx(value, rel=1e-9, nan_ok=True)
    moved = 0.5 * a @ orthogonal(features, seed) + 7.0
    assert linear_cka(moved, b, debiased=debiased) == pytest.approx(value, rel=1e-6, abs=1e-9, nan_ok=True)
    order = np.random.default_rng(seed).permutation(rows)
    assert linear_cka(a[order], b[order], debiased=debiased) == pytest.approx(value, rel=1e-7, abs=1e-9, nan_ok=True)
    if not debiased:
        assert 0 <= value <= 1 + 1e-12
        assert linear_cka(a, a) == pytest.approx(1.0)


def test_the_bias_that_is_removed() -> None:
    """Independent wide features look alike to the biased estimate, and not to the other."""
    a, b = gaussian(20, 400), gaussian(20, 400, seed=1)
    assert linear_cka(a, b) > 0.8
    assert abs(linear_cka(a, b, debiased=True)) < 0.1


def test_constant_features_have_no_cka() -> None:
    assert math.isnan(linear_cka(np.ones((5, 3)), gaussian(5, 3)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: linear_cka(gaussian(5, 3), gaussian(6, 3)), "must be of the same samples, got 5 and 6 rows"),
        (lambda: linear_cka(gaussian(3, 3), gaussian(3, 3), debiased=True), "at least 4 rows to be debiased, got 3"),
        (lambda: linear_cka(gaussian(1, 3), gaussian(1, 3)), "at least 2 rows, got 1"),
        (lambda: linear_cka([[1.0]], gaussian(5, 3)), "`a` must be a torch tensor or a numpy array, got list"),
    ],
)
def test_bad_input(call, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        call()
