"""The kernel under the regularizers: the smaller side, its products, and how precise they are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from noisymodel import _gram
from noisymodel.losses import covariance_loss, dominant_singular_value_loss
from reference import losses as naive


def gaussian(rows: int, features: int, seed: int = 0) -> Tensor:
    return torch.randn(rows, features, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", [1, 3, _gram.BLOCK - 1, _gram.BLOCK, 2 * _gram.BLOCK + 1])
def test_a_symmetric_product_is_the_product(size: int) -> None:
    rows = gaussian(size, 7)
    torch.testing.assert_close(_gram.symmetric_product(rows), rows @ rows.T, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", [(4, 9), (9, 4), (5, 5)])
def test_the_gram_matrix_is_that_of_the_smaller_side(shape: tuple[int, int]) -> None:
    rows = gaussian(*shape) + 3
    batch = _gram.global_batch(rows.float(), None, None)
    centred = rows.float().double() - rows.float().double().mean(0)
    smaller = centred @ centred.T if shape[0] < shape[1] else centred.T @ centred
    assert batch.gram.dtype == torch.float64
    torch.testing.assert_close(batch.gram, smaller, rtol=1e-12, atol=1e-12)
    assert batch.num_rows == shape[0]
    whole = rows.float().double()
    smaller = whole @ whole.T if shape[0] < shape[1] else whole.T @ whole
    torch.testing.assert_close(_gram.uncentred_gram(batch), smaller, rtol=1e-12, atol=1e-12)


def flat_but_for_three(condition: float) -> Tensor:
    """The spectrum that is worst for a float32 product: nearly all singular values are the smallest."""
    values = torch.full((256,), 1 / condition, dtype=torch.float64)
    values[:3] = torch.tensor([1.0, 0.5, 0.1])
    return values


@pytest.mark.parametrize(
    ("values", "tolerance"),
    [
        (torch.logspace(0, -2, 256, dtype=torch.float64), 5e-6),
        (torch.logspace(0, -4, 256, dtype=torch.float64), 1e-4),
        (flat_but_for_three(1e2), 1e-5),
        (flat_but_for_three(1e4), 2e-4),
    ],
)
@pytest.mark.parametrize("shape", [(256, 300), (300, 256)])
def test_large_float32_batches_keep_the_precision(shape: tuple[int, int], values: Tensor, tolerance: float) -> None:
    """From `LARGE` on the gradient's product is float32."""
    u, _, vh = torch.linalg.svd(gaussian(*shape), full_matrices=False)
    features = ((u * values) @ vh).float().requires_grad_()
    exact = features.detach().double().numpy()
    (gradient,) = torch.autograd.grad(dominant_singular_value_loss(features, top_k=2), features)
    wanted = naive.dominant_gradient(exact, 2)
    assert np.linalg.norm(gradient.numpy() - wanted) < tolerance * np.linalg.norm(wanted)
    (gradient,) = torch.autograd.grad(covariance_loss(features), features)
    wanted = naive.covariance_gradient(exact)
    assert np.linalg.norm(gradient.numpy() - wanted) < 1e-5 * np.linalg.norm(wanted)


@pytest.mark.parametrize("shape", [(64, 80), (80, 64), (64, 64)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_noise_of_rank_deficient_features_is_no_singular_value(shape: tuple[int, int], dtype: torch.dtype) -> None:
    row = torch.randint(-9, 10, (1, shape[1]), generator=torch.Generator().manual_seed(0)).to(dtype)
    assert dominant_singular_value_loss(row.expand(shape)).item() == pytest.approx(-1, abs=1e-7)
    halves = torch.cat([row, 2 * row.flip(1)]).repeat(shape[0] // 2, 1)
    exact = naive.dominant(halves.double().numpy(), 1)
    assert dominant_singular_value_loss(halves).item() == pytest.approx(exact, abs=1e-7)
