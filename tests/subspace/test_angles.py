"""Principal angles: against scipy, laws, degenerate and bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from noisymodel.subspace import (
    IllDefinedSubspaceWarning,
    SubspaceAccumulator,
    dominant_rotation,
    linear_cka,
    principal_angles,
)
from reference.subspace import gaussian, naive_angles, orthogonal


@pytest.mark.parametrize(("rows", "other_rows", "features"), [(50, 40, 8), (6, 7, 20), (20, 20, 20)])
@pytest.mark.parametrize("k", [1, 3, 5])
def test_angles_are_those_of_scipy(rows: int, other_rows: int, features: int, k: int) -> None:
    a, b = gaussian(rows, features), gaussian(other_rows, features, seed=1)
    np.testing.assert_allclose(principal_angles(a, b, k=k), naive_angles(a, b, k), rtol=1e-7, atol=1e-10)
    assert dominant_rotation(a, b, k=k) == pytest.approx(naive_angles(a, b, k).max())


@pytest.mark.parametrize("angle", [1e-12, 1e-9, 1e-4, 0.3, 1.2, math.pi / 2 - 1e-9])
def test_chosen_angles_come_back(angle: float) -> None:
    turn = scipy.linalg.block_diag([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]], np.eye(3))
    a = np.diag([5.0, 1.0, 4.0, 2.0, 3.0])
    found = principal_angles(a, a @ turn, k=1)
    assert found[0] == pytest.approx(angle, rel=1e-6)
    found = principal_angles(a, a @ turn, k=3)
    np.testing.assert_allclose(found, [0, 0, angle], rtol=1e-6, atol=1e-15)


@given(st.integers(0, 100), st.integers(2, 8), st.data())
@settings(deadline=None, max_examples=25)
def test_laws_of_the_angles(seed: int, features: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, features - 1))
    a, b = gaussian(20, features, seed), gaussian(20, features, seed + 1000)
    angles = principal_angles(a, b, k=k)
    assert angles.shape == (k,)
    assert (np.diff(angles) >= -1e-12).all()
    assert (angles >= 0).all()
    assert (angles <= math.pi / 2 + 1e-12).all()
    np.testing.assert_allclose(principal_angles(b, a, k=k), angles, atol=1e-9)
    both = orthogonal(features, seed)
    np.testing.assert_allclose(principal_angles(a @ both, b @ both, k=k), angles, atol=1e-8)
    np.testing.assert_allclose(principal_angles(3 * a[::-1], b, k=k), angles, atol=1e-8)
    np.testing.assert_allclose(principal_angles(a, a, k=k), 0, atol=1e-12)


def test_kinds_and_devices(device: torch.device) -> None:
    a, b = (torch.from_numpy(gaussian(20, 6, seed)).float().to(device) for seed in (0, 1))
    angles = principal_angles(a, b, k=2)
    assert isinstance(angles, torch.Tensor)
    assert (angles.dtype, angles.device.type) == (torch.float64, device.type)
    assert isinstance(principal_angles(a.cpu().numpy(), b.cpu().numpy(), k=2), np.ndarray)
    assert isinstance(linear_cka(a, b), float)


def test_subspaces_that_are_not_unique_are_named() -> None:
    same = np.eye(4)
    with pytest.warns(IllDefinedSubspaceWarning, match="singular values 2 and 3 of `a` are equal to rounding"):
        principal_angles(same, gaussian(9, 4), k=2)
    with pytest.raises(ValueError, match="`k` must be at most the rank of `b`, 1, got 2"):
        principal_angles(gaussian(9, 4), np.ones((5, 4)), k=2)
    pairs = SubspaceAccumulator(4)
    pairs.update(gaussian(5, 4), np.ones((5, 4)))
    with pytest.raises(ValueError, match="`k` must be at most the rank of `b`, 1, got 2"):
        pairs.principal_angles(k=2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: principal_angles(gaussian(5, 3), gaussian(5, 4), k=1), "must have as many features, got 3 and 4"),
        (lambda: principal_angles(gaussian(5, 3), gaussian(5, 3), k=4), r"`k` must be at most min\(N, D\) = 3 of `a`"),
        (lambda: principal_angles(gaussian(5, 3), gaussian(5, 3), k=0), "`k` must be at least 1, got 0"),
        (lambda: principal_angles(np.full((3, 3), np.nan), gaussian(5, 3), k=1), "`a` must be finite: row 0"),
        (lambda: principal_angles(np.ones(3), gaussian(5, 3), k=1), r"`a` must have shape \(N, D\) with N, D >= 1"),
    ],
)
def test_bad_input(call, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        call()
