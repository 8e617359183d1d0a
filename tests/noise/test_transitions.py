"""Transition matrices: golden values, the naive reference, the laws that tie the two definitions together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from golden import GOLDEN
from noisymodel.noise import symmetric_transition
from reference.noise import symmetric_transition as naive_transition

classes = st.integers(2, 12)
rates = st.floats(0, 1)


@pytest.mark.parametrize("include_true", [False, True], ids=["exclusive", "inclusive"])
def test_golden(include_true: bool) -> None:
    name = "inclusive" if include_true else "exclusive"
    expected = GOLDEN["symmetric"][f"{name}_10_classes_rate_0.4"]
    matrix = symmetric_transition(10, 0.4, include_true)
    off_diagonal = matrix[~np.eye(10, dtype=bool)]
    np.testing.assert_allclose(np.diag(matrix), expected["diag"], rtol=1e-12)
    np.testing.assert_allclose(off_diagonal, expected["off"], rtol=1e-12)


def test_the_inclusive_share_of_wrong_labels_is_smaller() -> None:
    expected = GOLDEN["symmetric"]["inclusive_10_classes_rate_0.4"]["actual_noise_rate"]
    assert 1 - np.trace(symmetric_transition(10, 0.4, include_true=True)) / 10 == pytest.approx(expected, rel=1e-12)
    assert 1 - np.trace(symmetric_transition(10, 0.4)) / 10 == pytest.approx(0.4, rel=1e-12)


@settings(deadline=None, max_examples=25)
@given(classes, rates, st.booleans())
def test_equals_the_naive_reference_and_rows_sum_to_one(num_classes: int, rate: float, include_true: bool) -> None:
    matrix = symmetric_transition(num_classes, rate, include_true)
    assert matrix.dtype == np.float64
    np.testing.assert_allclose(matrix, naive_transition(num_classes, rate, include_true), rtol=0, atol=1e-15)
    np.testing.assert_allclose(matrix.sum(axis=1), 1.0, rtol=1e-14)
    assert (matrix >= 0).all()


@settings(deadline=None, max_examples=25)
@given(classes, rates)
def test_inclusive_is_exclusive_at_a_lower_rate(num_classes: int, rate: float) -> None:
    inclusive = symmetric_transition(num_classes, rate, include_true=True)
    exclusive = symmetric_transition(num_classes, rate * (num_classes - 1) / num_classes)
    np.testing.assert_allclose(inclusive, exclusive, rtol=0, atol=1e-15)


def test_noise_on_noise_multiplies_the_matrices() -> None:
    golden = GOLDEN["symmetric"]["sequential"]
    assert golden["K"] == 10
    both = symmetric_transition(10, golden["eta1"]) @ symmetric_transition(10, golden["eta2"])
    np.testing.assert_allclose(both, symmetric_transition(10, golden["eta_total"]), rtol=1e-12)
    np.testing.assert_allclose(np.diag(both), golden["diag"], rtol=1e-12)


@pytest.mark.parametrize("include_true", [False, True])
def test_rate_zero_is_the_identity_exactly(include_true: bool) -> None:
    np.testing.assert_array_equal(symmetric_transition(7, 0.0, include_true), np.eye(7))


def test_rate_one_never_keeps_a_label() -> None:
    assert (np.diag(symmetric_transition(7, 1.0)) == 0.0).all()
    np.testing.assert_allclose(symmetric_transition(7, 1.0, include_true=True), 1 / 7, rtol=1e-15)


def test_one_class_can_only_be_drawn_again() -> None:
    np.testing.assert_array_equal(symmetric_transition(1, 0.3, include_true=True), [[1.0]])
    with pytest.raises(ValueError, match=r"`num_classes` must be at least 2, got 1.*include_true=True"):
        symmetric_transition(1, 0.3)


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan"), float("inf")])
def test_rate_must_be_a_share(rate: float) -> None:
    with pytest.raises(ValueError, match=r"`rate` must be in \[0, 1\], got"):
        symmetric_transition(3, rate)


def test_bad_types_are_named() -> None:
    with pytest.raises(TypeError, match=r"`rate` must be a number, got '0.1'"):
        symmetric_transition(3, "0.1")
    with pytest.raises(TypeError, match=r"`num_classes` must be an integer, got 2.5"):
        symmetric_transition(2.5, 0.1)
    with pytest.raises(ValueError, match=r"`num_classes` must be at least 1, got 0"):
        symmetric_transition(0, 0.1)
