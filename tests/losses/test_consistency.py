"""The consistency term against its formula, far and near, long and short."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from noisymodel.losses import consistency_loss
from reference import losses as naive
from reference.matrices import gaussian, value_and_gradient

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-6}


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("reduction", ["mean", "batchmean"])
def test_value_and_gradients_are_the_naive_ones(reduction: str, dtype: torch.dtype) -> None:
    for shape in [(8, 20), (12, 12), (20, 8), (2, 2), (1, 4)]:
        for apart in (1.0, 1e-3):
            tuned = gaussian(*shape).to(dtype)
            reference = (tuned.double() + apart * gaussian(*shape, seed=1)).to(dtype)
            z, f = tuned.double().numpy(), reference.double().numpy()
            by_tuned = value_and_gradient(lambda x, o=reference: consistency_loss(x, o, reduction=reduction), tuned)
            by_other = value_and_gradient(lambda x, o=tuned: consistency_loss(o, x, reduction=reduction), reference)
            wanted = naive.consistency_gradient(z, f, reduction), naive.consistency_gradient(f, z, reduction)
            for got, gradient in zip((by_tuned, by_other), wanted, strict=True):
                assert got[0] == pytest.approx(naive.consistency(z, f, reduction), rel=TOLERANCE[dtype])
                assert np.linalg.norm(got[1] - gradient) <= TOLERANCE[dtype] * np.linalg.norm(gradient) + 1e-14


@pytest.mark.parametrize("scale", [1e-18, 1e-10, 1.0, 1e17])
def test_float32_rows_of_any_length_and_distance_are_precise(scale: float) -> None:
    for apart in (3.0, 0.05, 1e-4):
        rows = gaussian(40, 96)
        tuned, reference = (scale * rows).float(), (scale * (rows + apart * gaussian(40, 96, seed=1))).float()
        got = value_and_gradient(lambda z, f=reference: consistency_loss(z, f, reduction="batchmean"), tuned)
        z, f = tuned.double().numpy(), reference.double().numpy()
        wanted = naive.consistency_gradient(z, f, "batchmean")
        assert got[0] == pytest.approx(naive.consistency(z, f, "batchmean"), rel=1e-6)
        assert np.linalg.norm(got[1] - wanted) <= 1e-6 * np.linalg.norm(wanted)


def test_equal_and_opposite_directions() -> None:
    rows = torch.diag(torch.tensor([4.0, 3.0, 2.0, 1.0]))
    assert consistency_loss(rows, rows).item() == 0.0
    assert consistency_loss(rows, -3 * rows, reduction="batchmean").item() == pytest.approx(4.0)


def test_it_has_a_second_derivative() -> None:
    z, f = gaussian(3, 4).requires_grad_(), gaussian(3, 4, 1)
    with torch.random.fork_rng():
        assert torch.autograd.gradgradcheck(lambda x: consistency_loss(x, f), (z,))


def test_arguments_that_do_not_fit() -> None:
    z = gaussian(4, 3)
    with pytest.raises(ValueError, match="`reduction` must be one of 'mean', 'batchmean', got 'sum'"):
        consistency_loss(z, z, reduction="sum")
    with pytest.raises(ValueError, match=r"`reference` must have the shape of `tuned`, \(4, 3\), got \(3, 4\)"):
        consistency_loss(z, z.mT)
    with pytest.raises(ValueError, match="`tuned` must have at least one row"):
        consistency_loss(z[:0], z[:0])
    with pytest.raises(TypeError, match="`reference` must be floating point"):
        consistency_loss(z, z.long())
