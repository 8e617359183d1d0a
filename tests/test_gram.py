"""The kernel under the regularizers: the smaller side, its products, and how precise they are."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from noisymodel import _gram, _mixed
from noisymodel.losses import covariance_loss, dominant_singular_value_loss, nmtune_regularization
from reference import losses as naive


def gaussian(rows: int, features: int, seed: int = 0) -> Tensor:
    return torch.randn(rows, features, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    "size", [1, 3, _gram.STRIPPED[0] - 1, _gram.STRIPPED[0], 2 * _gram.STRIPPED[0] + 1, _gram.STRIPPED[1] + 3]
)
def test_a_symmetric_product_is_the_product(size: int) -> None:
    rows = gaussian(size, 7)
    torch.testing.assert_close(_gram.symmetric_product(rows), rows @ rows.T, rtol=1e-12, atol=1e-12)
    weighted = rows * gaussian(1, 7, seed=1)
    product = _gram.product_of_symmetric(weighted, rows)
    torch.testing.assert_close(product, weighted @ rows.T, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("size", [3, _gram.STRIPPED[0] + 5])
def test_a_symmetric_product_of_many_matrices_at_once(size: int) -> None:
    rows = torch.stack([gaussian(size, 7, seed=seed) for seed in range(3)])
    product = torch.func.vmap(_gram.symmetric_product)(rows)
    torch.testing.assert_close(product, rows @ rows.mT, rtol=1e-12, atol=1e-12)


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


def flat_but_for(count: int, condition: float) -> Tensor:
    """The spectra that are worst for a float32 product: all but the first singular values are the smallest."""
    values = torch.full((256,), 1 / condition, dtype=torch.float64)
    values[:count] = torch.linspace(1, 0.9, count, dtype=torch.float64)
    return values


@pytest.mark.parametrize(
    "values",
    [
        torch.logspace(0, -4, 256, dtype=torch.float64),
        *(flat_but_for(count, condition) for count in (1, 16, 128) for condition in (1e2, 1e4)),
    ],
)
@pytest.mark.parametrize("shape", [(256, 300), (300, 256)])
def test_the_gradient_of_large_float32_batches_is_exact_but_for_its_rounding(
    shape: tuple[int, int], values: Tensor
) -> None:
    """A float32 product of the gradient, which is made for κ = 100, would be wrong by 3e-4 at κ = 1e4."""
    u, _, vh = torch.linalg.svd(gaussian(*shape), full_matrices=False)
    features = ((u * values) @ vh).float().requires_grad_()
    exact = features.detach().double().numpy()
    (gradient,) = torch.autograd.grad(dominant_singular_value_loss(features), features)
    wanted = naive.dominant_gradient(exact, 1)
    bound = 1e-6 if values[-1] < 1e-3 else _mixed.LIMIT
    assert np.linalg.norm(gradient.numpy() - wanted) < bound * np.linalg.norm(wanted)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    return lambda: monkeypatch.setattr(_gram, "BLOCK", 24)


def regularization(tuned: Tensor, reference: Tensor) -> Tensor:
    weights = {"consistency_weight": 1.0, "covariance_weight": 1.0, "dominant_weight": 1.0}
    return nmtune_regularization(tuned, reference, top_k=2, **weights).total


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(4, 50), (50, 4), (7, 23), (23, 7)])
def test_in_blocks_the_terms_and_gradients_are_the_same(
    shape: tuple[int, int], dtype: torch.dtype, small_blocks: Callable[[], None]
) -> None:
    rows, reference = (gaussian(*shape, seed=seed).to(dtype) + 3 for seed in (0, 1))
    terms = [
        covariance_loss,
        lambda z: dominant_singular_value_loss(z, top_k=2),
        lambda z: regularization(z, reference),
    ]
    wanted = [(term(rows), torch.func.grad(term)(rows)) for term in terms]
    many = torch.stack([rows, reference]), torch.stack([reference, rows])
    wanted_of_many = torch.func.vmap(torch.func.grad(regularization))(*many)
    small_blocks()
    assert len(_gram.blocks(rows, 0)) > 1
    assert len(_gram.blocks(rows, 1)) > 1
    for term, (value, gradient) in zip(terms, wanted, strict=True):
        torch.testing.assert_close(term(rows), value)
        torch.testing.assert_close(torch.func.grad(term)(rows), gradient)
    torch.testing.assert_close(torch.func.vmap(torch.func.grad(regularization))(*many), wanted_of_many)


def test_blocks_are_no_thinner_than_the_smaller_side() -> None:
    """Adding up their products would cost more than making them."""
    rows = torch.empty(600, 2000)
    assert {part.shape[1] for part in _gram.blocks(rows, 1, at_least=600)} == {600, 200}
    assert _gram.blocks(rows, 1)[0].numel() <= _gram.BLOCK
    assert len(_gram.blocks(rows.to("meta"), 0)) == 1  # what launches kernels takes more at a time


ADDED_MEMORY = """
import pathlib
import torch
from noisymodel.losses import nmtune_regularization

def peak():
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))

def step(rows, features):
    tuned, reference = torch.ones(rows, features).requires_grad_(), torch.ones(rows, features)
    before = peak()
    weights = dict(consistency_weight=1.0, covariance_weight=1.0, dominant_weight=1.0)
    nmtune_regularization(tuned, reference, **weights).total.backward()
    return (peak() - before) / (4 * rows * features)

step(8, 16)
print(step(64, 65_536))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell a process's peak memory")
def test_memory_is_a_small_multiple_of_the_features() -> None:
    """Three of them are the gradients of the two functions, and their sum; a float64 copy would be two more."""
    command = [sys.executable, "-c", ADDED_MEMORY]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    found = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    assert 1 < float(found) < 5


@pytest.mark.parametrize("shape", [(64, 80), (80, 64), (64, 64)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_noise_of_rank_deficient_features_is_no_singular_value(shape: tuple[int, int], dtype: torch.dtype) -> None:
    row = torch.randint(-9, 10, (1, shape[1]), generator=torch.Generator().manual_seed(0)).to(dtype)
    assert dominant_singular_value_loss(row.expand(shape)).item() == pytest.approx(-1, abs=1e-7)
    halves = torch.cat([row, 2 * row.flip(1)]).repeat(shape[0] // 2, 1)
    exact = naive.dominant(halves.double().numpy(), 1)
    assert dominant_singular_value_loss(halves).item() == pytest.approx(exact, abs=1e-7)
