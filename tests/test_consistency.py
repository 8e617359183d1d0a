"""The precision of the consistency term: float32 where rows are apart, float64 where they are not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from noisymodel import _consistency
from noisymodel.losses import consistency_loss
from reference import losses as naive


def pair(apart: float, scale: float = 1.0, shape: tuple[int, int] = (40, 96)) -> tuple[Tensor, Tensor]:
    """Rows, and others whose unit vectors are about so far away."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(shape, generator=generator, dtype=torch.float64)
    noise = torch.randn(shape, generator=generator, dtype=torch.float64)
    return (scale * rows).float(), (scale * (rows + apart * noise)).float()


def precision(tuned: Tensor, reference: Tensor) -> torch.dtype:
    return _consistency.distances(tuned, reference)[0].dtype


def errors(tuned: Tensor, reference: Tensor) -> tuple[float, float]:
    """Relative errors of the value and of the gradient by the tuned rows."""
    leaf = tuned.clone().requires_grad_()
    value = consistency_loss(leaf, reference, reduction="batchmean")
    value.backward()
    exact = tuned.double().requires_grad_()
    units = [rows / rows.norm(dim=1, keepdim=True) for rows in (exact, reference.double())]
    wanted = (units[0] - units[1]).square().sum(1).mean()
    wanted.backward()
    assert leaf.grad is not None
    assert exact.grad is not None
    return abs(value.item() / wanted.item() - 1), float((leaf.grad.double() - exact.grad).norm() / exact.grad.norm())


@pytest.mark.parametrize("scale", [1e-10, 1.0, 1e10])
@pytest.mark.parametrize("apart", [0.05, 0.3, 3.0])
def test_rows_that_are_apart_are_float32_and_precise(apart: float, scale: float) -> None:
    rows = pair(apart, scale)
    assert precision(*rows) == torch.float32
    by_value, by_gradient = errors(*rows)
    assert by_value < 2e-7
    assert 1e-9 < by_gradient < 3e-6


@pytest.mark.parametrize(("apart", "scale"), [(0.02, 1.0), (1e-3, 1.0), (1e-4, 1.0), (0.3, 1e-18), (0.3, 1e17)])
def test_close_rows_and_extreme_lengths_are_float64_and_precise(apart: float, scale: float) -> None:
    rows = pair(apart, scale)
    assert precision(*rows) == torch.float64
    by_value, by_gradient = errors(*rows)
    assert by_value < 2e-7
    assert by_gradient < 2e-7


def test_one_close_pair_of_rows_is_enough_for_float64() -> None:
    tuned, reference = pair(0.3)
    reference[7] = tuned[7] * 2
    assert precision(tuned, reference) == torch.float64
    assert _consistency.distances(tuned, reference)[0][7] == 0


def test_zero_rows_and_rows_without_a_number_are_not_float32() -> None:
    for value in (0.0, float("nan"), float("inf")):
        tuned, reference = pair(0.3)
        tuned[3] = value
        assert precision(tuned, reference) == torch.float64


def test_double_rows_stay_float64_and_half_ones_become_float32() -> None:
    tuned, reference = pair(0.3)
    assert precision(tuned.double(), reference.double()) == torch.float64
    assert precision(tuned, reference.double()) == torch.float64
    assert precision(tuned.bfloat16(), reference.bfloat16()) == torch.float32


def test_blocks_of_rows_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    tuned, reference = pair(0.3)
    whole = _consistency.distances(tuned, reference)
    monkeypatch.setattr("noisymodel._gram.BLOCK", 300)
    for got, wanted in zip(_consistency.distances(tuned, reference), whole, strict=True):
        np.testing.assert_array_equal(got.numpy(), wanted.numpy())
    assert naive.consistency(tuned.numpy(), reference.numpy(), "batchmean") == pytest.approx(whole[0].mean().item())
