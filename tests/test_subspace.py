"""Subspaces and CKA: against scipy and the papers' formulas, laws, streaming, degenerate and bad input."""

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


def gaussian(rows: int, features: int, seed: int = 0, mean: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, features)) * np.geomspace(3, 0.5, features) + mean


def orthogonal(size: int, seed: int) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((size, size)))[0]


def naive_angles(a: np.ndarray, b: np.ndarray, k: int) -> np.ndarray:
    return np.sort(scipy.linalg.subspace_angles(np.linalg.svd(a)[2][:k].T, np.linalg.svd(b)[2][:k].T))


def naive_cka(a: np.ndarray, b: np.ndarray, debiased: bool) -> float:
    """By N×N kernels, as the papers write it."""
    n = len(a)
    center = np.eye(n) - 1 / n

    def hsic(x: np.ndarray, y: np.ndarray) -> float:
        k, l = x @ x.T, y @ y.T  # noqa: E741 - the paper's letter
        if not debiased:
            return float(np.trace(k @ center @ l @ center))
        k, l = k - np.diag(np.diag(k)), l - np.diag(np.diag(l))  # noqa: E741 - the paper's letter
        one = np.ones(n)
        middle = one @ k @ one * (one @ l @ one) / ((n - 1) * (n - 2))
        return float((np.trace(k @ l) + middle - 2 / (n - 2) * (one @ k @ l @ one)) / (n * (n - 3)))

    return hsic(a, b) / math.sqrt(hsic(a, a) * hsic(b, b))


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


@given(
    rows=st.integers(4, 40),
    cuts=st.lists(st.integers(0, 40), max_size=4),
    merge=st.booleans(),
    mean=st.sampled_from([0.0, 10.0, 1e3]),
    seed=st.integers(0, 50),
)
@settings(deadline=None, max_examples=40)
def test_streaming_is_the_whole(rows: int, cuts: list[int], merge: bool, mean: float, seed: int) -> None:
    a, b = gaussian(rows, 3, seed, mean), gaussian(rows, 3, seed + 1)
    b[:, 0] += a[:, 0] - mean
    parts = [np.split(x, sorted(min(cut, rows) for cut in cuts)) for x in (a, b)]
    total = SubspaceAccumulator(3)
    for one, two in zip(*parts, strict=True):
        if merge:
            other = SubspaceAccumulator(3)
            other.update(one, two)
            assert total.merge(other) is total
        else:
            total.update(one, two)
    assert total.count == rows
    for debiased in (False, True):
        expected = linear_cka(a, b, debiased=debiased)
        assert total.linear_cka(debiased=debiased) == pytest.approx(expected, rel=1e-6, abs=1e-8, nan_ok=True)
    expected_angles = principal_angles(a, b, k=2)
    np.testing.assert_allclose(total.principal_angles(k=2), expected_angles, rtol=1e-4, atol=1e-5)
    assert total.dominant_rotation(k=1) == pytest.approx(dominant_rotation(a, b, k=1), rel=1e-5, abs=1e-6)


def test_sides_of_different_width_stream_too() -> None:
    a, b = gaussian(30, 3), gaussian(30, 7, seed=1)
    pairs = SubspaceAccumulator(3, 7)
    pairs.update(a[:11], b[:11])
    pairs.update(torch.from_numpy(a[11:]), torch.from_numpy(b[11:]))
    assert pairs.linear_cka() == pytest.approx(linear_cka(a, b))
    with pytest.raises(ValueError, match="angles need as many features on both sides, got 3 and 7"):
        pairs.principal_angles(k=1)


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


def test_constant_features_have_no_cka() -> None:
    assert math.isnan(linear_cka(np.ones((5, 3)), gaussian(5, 3)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: principal_angles(gaussian(5, 3), gaussian(5, 4), k=1), "must have as many features, got 3 and 4"),
        (lambda: principal_angles(gaussian(5, 3), gaussian(5, 3), k=4), r"`k` must be at most min\(N, D\) = 3 of `a`"),
        (lambda: principal_angles(gaussian(5, 3), gaussian(5, 3), k=0), "`k` must be at least 1, got 0"),
        (lambda: principal_angles(np.full((3, 3), np.nan), gaussian(5, 3), k=1), "`a` must be finite: row 0"),
        (lambda: principal_angles(np.ones(3), gaussian(5, 3), k=1), r"`a` must have shape \(N, D\), got \(3,\)"),
        (lambda: linear_cka(gaussian(5, 3), gaussian(6, 3)), "must be of the same samples, got 5 and 6 rows"),
        (lambda: linear_cka(gaussian(3, 3), gaussian(3, 3), debiased=True), "at least 4 rows to be debiased, got 3"),
        (lambda: linear_cka(gaussian(1, 3), gaussian(1, 3)), "at least 2 rows, got 1"),
        (lambda: linear_cka([[1.0]], gaussian(5, 3)), "`a` must be a torch tensor or a numpy array, got list"),
        (lambda: SubspaceAccumulator(3).linear_cka(), "there are no rows yet: call `update` first"),
        (lambda: SubspaceAccumulator(3).update(gaussian(5, 4), gaussian(5, 3)), r"`a` must have shape \(\.\.\., 3\)"),
        (lambda: SubspaceAccumulator(3).merge(SubspaceAccumulator(3, 4)), r"`other` must be of \(3, 3\) features"),
    ],
)
def test_bad_input(call, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        call()


def test_a_bad_batch_leaves_the_state() -> None:
    pairs = SubspaceAccumulator(3)
    pairs.update(gaussian(6, 3), gaussian(6, 3, 1))
    before = pairs.linear_cka()
    bad = gaussian(4, 3)
    bad[2, 0] = np.inf
    with pytest.raises(ValueError, match="`b` must be finite: row 8 holds"):
        pairs.update(gaussian(4, 3), bad)
    with pytest.raises(ValueError, match="got 4 and 3 rows"):
        pairs.update(gaussian(4, 3), gaussian(3, 3))
    assert (pairs.count, pairs.linear_cka()) == (6, before)
