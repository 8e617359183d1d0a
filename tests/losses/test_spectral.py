"""The covariance and the dominant term against the paper's formulas, naive and in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from noisymodel.losses import covariance_loss, dominant_singular_value_loss
from reference import losses as naive
from reference.matrices import KINDS, falling, gaussian, shifted, value_and_gradient, with_singular_values

SHAPES = [(8, 20), (12, 12), (20, 8), (2, 5), (2, 2), (5, 2)]
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-6}


def assert_close(got: tuple[float, np.ndarray], value: float, gradient: np.ndarray, tolerance: float) -> None:
    assert got[0] == pytest.approx(value, rel=tolerance, abs=1e-14)
    assert np.linalg.norm(got[1] - gradient) <= tolerance * np.linalg.norm(gradient) + 1e-14


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("shape", SHAPES)
def test_covariance_is_the_naive_one(shape: tuple[int, int], dtype: torch.dtype) -> None:
    for kind in [*KINDS.values(), shifted]:
        features = kind(*shape).to(dtype)
        exact = features.double().numpy()
        got = value_and_gradient(covariance_loss, features)
        assert_close(got, naive.covariance(exact), naive.covariance_gradient(exact), TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("shape", SHAPES)
def test_dominant_is_the_naive_one_for_every_top_k(shape: tuple[int, int], dtype: torch.dtype) -> None:
    for name, kind in KINDS.items():
        features = kind(*shape).to(dtype)
        exact = features.double().numpy()
        for top_k in range(1, min(shape) + 1):
            if name == "repeated" and 1 < top_k < min(shape):
                continue  # the k-th and the next are equal: not differentiable
            if name == "collapsed" and shape == (12, 12) and dtype == torch.float32:
                continue  # κ beyond 1e4
            got = value_and_gradient(lambda z, k=top_k: dominant_singular_value_loss(z, top_k=k), features)
            wanted = naive.dominant(exact, top_k), naive.dominant_gradient(exact, top_k)
            assert_close(got, *wanted, TOLERANCE[dtype])


@pytest.mark.parametrize("shape", [(64, 64), (64, 256), (256, 64), (256, 256)])
def test_gradients_at_the_sizes_of_training(shape: tuple[int, int]) -> None:
    """To 1e-9 of float64 rows, and to 1e-6 of float32 rows up to κ = 1e4."""
    flat = torch.full((min(shape),), 1e-4, dtype=torch.float64)
    flat[:16] = torch.linspace(1, 0.9, 16, dtype=torch.float64)
    kinds = [gaussian(*shape), *(falling(*shape, digits) for digits in (1, 2, 4)), with_singular_values(*shape, flat)]
    for features in kinds:
        for dtype, tolerance in TOLERANCE.items():
            rows = features.to(dtype)
            exact = rows.double().numpy()
            for top_k in (1, 5):
                got = value_and_gradient(lambda z, k=top_k: dominant_singular_value_loss(z, top_k=k), rows)
                assert_close(got, naive.dominant(exact, top_k), naive.dominant_gradient(exact, top_k), tolerance)


@pytest.mark.parametrize("shape", [(8, 20), (20, 8), (64, 128)])
def test_dominant_with_a_mean_of_10000_standard_deviations(shape: tuple[int, int]) -> None:
    for dtype, tolerance in TOLERANCE.items():
        features = shifted(*shape).to(dtype)
        exact = features.double().numpy()
        got = value_and_gradient(dominant_singular_value_loss, features)
        assert_close(got, naive.dominant(exact, 1), naive.dominant_gradient(exact, 1), tolerance)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("shape", [(8, 20), (20, 8), (9, 9)])
def test_rank_deficient_features_get_the_subgradient_of_smallest_norm(
    shape: tuple[int, int], dtype: torch.dtype
) -> None:
    generator = torch.Generator().manual_seed(1)
    factors = [torch.randint(-3, 4, size, generator=generator).to(dtype) for size in ((shape[0], 3), (3, shape[1]))]
    features = factors[0] @ factors[1]  # exact: integers
    exact = features.double().numpy()
    for top_k in (1, 3):
        got = value_and_gradient(lambda z, k=top_k: dominant_singular_value_loss(z, top_k=k), features)
        assert_close(got, naive.dominant(exact, top_k), naive.dominant_gradient(exact, top_k, rank=3), TOLERANCE[dtype])


def test_values_known_by_hand() -> None:
    diagonal = torch.diag(torch.tensor([4.0, 3.0, 2.0, 1.0]))
    assert dominant_singular_value_loss(diagonal).item() == pytest.approx(-0.4)
    assert dominant_singular_value_loss(diagonal, top_k=2).item() == pytest.approx(-0.35)
    assert dominant_singular_value_loss(torch.eye(5)).item() == pytest.approx(-1 / 5)
    assert dominant_singular_value_loss(torch.ones(6, 3)).item() == pytest.approx(-1.0)
    plane = torch.tensor([[1.0, 1.0, 0.0], [-1.0, -1.0, 0.0]])  # C_12 = C_21 = 2, N − 1 = 1, D = 3
    assert covariance_loss(plane).item() == pytest.approx(8 / 3)
    assert covariance_loss(plane[:, :1]).item() == 0.0  # one feature has no off-diagonal


def test_one_varying_feature_has_no_covariance_not_even_a_negative_one() -> None:
    for shape in ((4, 9), (9, 4)):
        for seed in range(20):
            features = torch.zeros(shape, dtype=torch.float64)
            features[:, 2] = gaussian(shape[0], 1, seed)[:, 0]
            assert 0 <= covariance_loss(features).item() < 1e-15


def test_one_row_has_no_covariance_but_a_dominant_singular_value() -> None:
    row = gaussian(1, 5)
    with pytest.raises(ValueError, match="`features` must have at least two rows for a covariance, got 1"):
        covariance_loss(row)
    value, gradient = value_and_gradient(dominant_singular_value_loss, row)
    assert value == pytest.approx(-1)
    np.testing.assert_allclose(gradient, 0, atol=1e-15)


@pytest.mark.parametrize("shape", [(3, 5), (5, 3)])
def test_top_k_out_of_range(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"`top_k` must be at most min\(N, D\) = 3 .* got 4"):
        dominant_singular_value_loss(gaussian(*shape), top_k=4)
    with pytest.raises(ValueError, match="`top_k` must be at least 1, got 0"):
        dominant_singular_value_loss(gaussian(*shape), top_k=0)


@pytest.mark.parametrize("loss", [covariance_loss, dominant_singular_value_loss])
@pytest.mark.parametrize("shape", [(4, 7), (7, 4)])
def test_a_second_derivative_is_an_error(shape: tuple[int, int], loss) -> None:
    leaf = gaussian(*shape).requires_grad_()
    (first,) = torch.autograd.grad(loss(leaf), leaf, create_graph=True)
    with pytest.raises(NotImplementedError, match="have no second derivative"):
        torch.autograd.grad(first.sum(), leaf)

    def squared_slope(z: Tensor) -> Tensor:
        return torch.func.grad(loss)(z).square().sum()

    with pytest.raises(NotImplementedError, match="have no second derivative"):
        torch.func.grad(squared_slope)(gaussian(*shape))
