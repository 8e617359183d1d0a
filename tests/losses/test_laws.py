"""What is true of the regularizers for all matrices."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from noisymodel.losses import consistency_loss, covariance_loss, dominant_singular_value_loss
from reference.matrices import gaussian

matrices = st.tuples(st.integers(2, 9), st.integers(1, 9), st.integers(0, 10_000)).map(lambda a: gaussian(*a))
laws = settings(deadline=None, max_examples=25)


@laws
@given(matrices, st.floats(-50, 50), st.floats(0.1, 10))
def test_covariance_ignores_the_mean_and_the_order_and_scales_to_the_fourth(z: Tensor, mean: float, c: float) -> None:
    value = covariance_loss(z).item()
    assert value >= 0
    assert covariance_loss(z + mean).item() == pytest.approx(value, rel=1e-9, abs=1e-12)
    assert covariance_loss(z.flip(0)).item() == pytest.approx(value, rel=1e-9, abs=1e-12)
    assert covariance_loss(z.flip(1)).item() == pytest.approx(value, rel=1e-9, abs=1e-12)
    assert covariance_loss(c * z).item() == pytest.approx(c**4 * value, rel=1e-9, abs=1e-12)


@laws
@given(matrices, st.floats(-6, 6), st.integers(0, 100))
def test_dominant_ignores_scale_rotation_and_transposition(z: Tensor, exponent: float, seed: int) -> None:
    value = dominant_singular_value_loss(z).item()
    rotation = torch.linalg.qr(gaussian(z.shape[1], z.shape[1], seed))[0]
    assert -1 <= value < 0
    assert value <= -1 / min(z.shape) + 1e-12
    assert dominant_singular_value_loss(10**exponent * z).item() == pytest.approx(value, rel=1e-9)
    assert dominant_singular_value_loss(z @ rotation).item() == pytest.approx(value, rel=1e-9)
    assert dominant_singular_value_loss(z.mT).item() == pytest.approx(value, rel=1e-9)
    every = [dominant_singular_value_loss(z, top_k=k).item() for k in range(1, min(z.shape) + 1)]
    assert all(a <= b + 1e-12 for a, b in itertools.pairwise(every))
    assert every[-1] == pytest.approx(-1 / min(z.shape), rel=1e-9)


@laws
@given(matrices, st.integers(0, 100), st.floats(0.01, 100))
def test_consistency_is_symmetric_and_ignores_lengths(z: Tensor, seed: int, c: float) -> None:
    f = gaussian(*z.shape, seed=seed + 20_000)
    value = consistency_loss(z, f, reduction="batchmean").item()
    cosines = torch.nn.functional.cosine_similarity(z, f)
    assert 0 <= value <= 4 + 1e-12
    assert value == pytest.approx((2 - 2 * cosines).mean().item(), rel=1e-9, abs=1e-12)
    assert consistency_loss(z, f).item() == pytest.approx(value / z.shape[1], rel=1e-12)
    assert consistency_loss(f, z, reduction="batchmean").item() == pytest.approx(value, rel=1e-12)
    assert consistency_loss(c * z, f, reduction="batchmean").item() == pytest.approx(value, rel=1e-9, abs=1e-12)
    assert consistency_loss(z, c * z, reduction="batchmean").item() == pytest.approx(0, abs=1e-14)
