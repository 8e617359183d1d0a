"""Batch spectral shrinkage against the sum over a singular value decomposition, by its laws, and over processes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from noisymodel.baselines import batch_spectral_shrinkage
from ranks import Ranks

SIZES = [(16, 5, 1), (16, 5, 3), (6, 20, 1), (6, 20, 4), (8, 8, 2), (1, 7, 1), (7, 1, 1)]


def gaussian(rows: int, features: int, seed: int = 0) -> Tensor:
    return torch.randn(rows, features, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("rows", "features", "smallest"), SIZES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_value_and_gradient_are_those_of_the_decomposition(rows: int, features: int, smallest: int, dtype) -> None:
    from reference import neighbours

    z = gaussian(rows, features).to(dtype).requires_grad_()
    value = batch_spectral_shrinkage(z, num_smallest=smallest)
    (3 * value).backward()
    exact = z.detach().double().numpy()
    tolerance = 1e-10 if dtype == torch.float64 else 1e-5
    assert value.dtype == dtype
    assert z.grad.dtype == dtype
    assert value.item() == pytest.approx(neighbours.batch_spectral_shrinkage(exact, smallest), rel=tolerance)
    expected = 3 * neighbours.batch_spectral_shrinkage_gradient(exact, smallest)
    np.testing.assert_allclose(z.grad, expected, rtol=tolerance, atol=tolerance)


def test_gradient_is_that_of_finite_differences() -> None:
    for rows, features in ((7, 4), (4, 7)):
        z = gaussian(rows, features).requires_grad_()
        torch.autograd.gradcheck(lambda z: batch_spectral_shrinkage(z, num_smallest=2), (z,))


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 8), st.integers(1, 8), st.integers(0, 1000), st.floats(0.1, 10))
def test_laws(rows: int, features: int, seed: int, factor: float) -> None:
    z = gaussian(rows, features, seed)
    every = [batch_spectral_shrinkage(z, num_smallest=k).item() for k in range(1, min(z.shape) + 1)]
    assert all(0 <= a <= b + 1e-12 for a, b in itertools.pairwise(every))
    assert every[-1] == pytest.approx(z.square().sum().item(), rel=1e-9)
    rotation = torch.linalg.qr(gaussian(features, features, seed + 1))[0]
    assert batch_spectral_shrinkage(z @ rotation).item() == pytest.approx(every[0], rel=1e-7, abs=1e-12)
    assert batch_spectral_shrinkage(z.mT).item() == pytest.approx(every[0], rel=1e-7, abs=1e-12)
    assert batch_spectral_shrinkage(factor * z).item() == pytest.approx(factor**2 * every[0], rel=1e-7, abs=1e-12)


def test_more_dimensions_are_rows() -> None:
    z = gaussian(12, 5)
    assert torch.equal(batch_spectral_shrinkage(z.reshape(3, 4, 5)), batch_spectral_shrinkage(z))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_and_autocast(dtype: torch.dtype) -> None:
    z = gaussian(6, 10).to(dtype).requires_grad_()
    expected = batch_spectral_shrinkage(z.detach().double(), num_smallest=2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = batch_spectral_shrinkage(z, num_smallest=2)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, expected.float())
    value.backward()
    assert z.grad.dtype == dtype
    assert z.grad.isfinite().all()


@pytest.mark.parametrize(
    "z", [torch.zeros(4, 3), torch.eye(4), torch.ones(5, 3), gaussian(6, 2).float() @ gaussian(2, 4).float()], ids=str
)
def test_degenerate_spectra_have_finite_gradients(z: Tensor) -> None:
    z = z.clone().requires_grad_()
    value = batch_spectral_shrinkage(z)
    value.backward()
    smallest = torch.linalg.svdvals(z.detach().double())[-1] ** 2
    assert value.item() == pytest.approx(smallest.item(), abs=1e-10)
    assert z.grad.isfinite().all()
    assert z.grad.norm().item() == pytest.approx(2 * smallest.sqrt().item(), abs=1e-5)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_stays_visible(bad: float) -> None:
    z = gaussian(5, 3)
    z[2, 1] = bad
    assert not batch_spectral_shrinkage(z, num_smallest=3).isfinite()


def test_errors() -> None:
    with pytest.raises(ValueError, match=r"`num_smallest` must be at most min\(N, D\) = 3 for 5 rows of 3 features"):
        batch_spectral_shrinkage(gaussian(5, 3), num_smallest=4)
    with pytest.raises(ValueError, match="`num_smallest` must be at least 1, got 0"):
        batch_spectral_shrinkage(gaussian(5, 3), num_smallest=0)
    with pytest.raises(ValueError, match=r"`num_smallest` must be at most min\(N, D\) = 0"):
        batch_spectral_shrinkage(gaussian(0, 3))
    with pytest.raises(TypeError, match=r"`gather` must be False, True or a torch\.distributed process group"):
        batch_spectral_shrinkage(gaussian(5, 3), gather="all")  # type: ignore[arg-type]
    z = gaussian(5, 3).requires_grad_()
    (gradient,) = torch.autograd.grad(batch_spectral_shrinkage(z), z, create_graph=True)
    with pytest.raises(NotImplementedError, match="has no second derivative"):
        gradient.sum().backward()


# ---- over processes --------------------------------------------------------------------------------------------------


def errors_of_rank(rank: int, world: int) -> list[float]:
    errors: list[float] = []
    for sizes in ((8, 8), (13, 3), (16, 0)):
        for features in (6, 16, 48):
            everything = gaussian(16, features).requires_grad_()
            expected = batch_spectral_shrinkage(everything, num_smallest=3)
            expected.backward()
            own = torch.split(everything.detach(), sizes)[rank].requires_grad_()
            value = batch_spectral_shrinkage(own, num_smallest=3, gather=True)
            value.backward()
            wanted = torch.split(everything.grad, sizes)[rank] * world  # DDP averages
            errors += [float((value / expected - 1).abs()), float((own.grad - wanted).norm() / everything.grad.norm())]
    return errors


def test_gathered_value_and_gradient_are_those_of_one_process(on_ranks: Ranks) -> None:
    for errors in on_ranks(errors_of_rank, 2):
        assert len(errors) == 18
        assert max(errors) < 1e-8
