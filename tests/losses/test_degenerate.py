"""What the regularizers do with zero, collapsed, tiny, huge and non-finite features, and with bad arguments."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from noisymodel.losses import (
    consistency_loss,
    covariance_loss,
    dominant_singular_value_loss,
    nmtune_regularization,
)
from reference.matrices import gaussian, value_and_gradient

WEIGHTS = {"consistency_weight": 0.7, "covariance_weight": 0.3, "dominant_weight": 0.5}


def graded(rows: int, features: int) -> Tensor:
    """Columns from 1 down to 1e-12."""
    return gaussian(rows, features) * torch.logspace(0, -12, features, dtype=torch.float64)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("shape", [(4, 9), (9, 4), (4, 4)])
def test_a_zero_matrix_has_value_and_gradient_zero(shape: tuple[int, int], dtype: torch.dtype) -> None:
    zeros, reference = torch.zeros(shape, dtype=dtype), gaussian(*shape).to(dtype)
    for function in (covariance_loss, dominant_singular_value_loss):
        value, gradient = value_and_gradient(function, zeros)
        assert value == 0
        assert not gradient.any()
    value, gradient = value_and_gradient(lambda z: consistency_loss(z, reference, reduction="batchmean"), zeros)
    assert value == pytest.approx(1)
    assert not gradient.any()
    assert np.abs(value_and_gradient(lambda f: consistency_loss(zeros, f), reference)[1]).max() < 1e-15


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("scale", ["tiny", "one", "huge"])
def test_finite_features_never_give_nan_or_infinity(dtype: torch.dtype, scale: str) -> None:
    info = torch.finfo(dtype)
    factor = {"tiny": max(4 * info.smallest_normal * info.eps, 1e-100), "one": 1.0, "huge": min(info.max**0.2, 1e30)}[
        scale
    ]
    for shape in [(2, 2), (4, 9), (9, 4), (6, 6)]:
        equal_rows = gaussian(1, shape[1]).expand(shape)
        one_entry = torch.zeros(shape).index_fill(0, torch.tensor([1]), 1.0)
        for matrix in (gaussian(*shape), equal_rows, one_entry, graded(*shape), torch.eye(*shape)):
            features = (matrix.double() * factor).to(dtype)
            reference = features.roll(1, 0)
            value, gradient = value_and_gradient(
                lambda z, f=reference: nmtune_regularization(z, f, **WEIGHTS).total, features
            )
            assert math.isfinite(value)
            assert np.isfinite(gradient).all()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("shape", [(4, 9), (9, 4)])
def test_non_finite_features_are_seen_in_every_loss(shape: tuple[int, int], dtype: torch.dtype, bad: float) -> None:
    features, reference = gaussian(*shape).to(dtype), gaussian(*shape, seed=1).to(dtype)
    features[1, 2] = bad
    terms = nmtune_regularization(features, reference, **WEIGHTS)
    assert not any(math.isfinite(terms._asdict()[name]) for name in terms._fields if name != "task")
    assert not consistency_loss(reference, features).isfinite()
    assert not covariance_loss(features).isfinite()
    assert not dominant_singular_value_loss(features).isfinite()


def test_bad_arguments_are_named() -> None:
    z = gaussian(4, 3)
    with pytest.raises(TypeError, match=r"`gather` must be False, True or a torch\.distributed process group, got 1"):
        covariance_loss(z, gather=1)  # type: ignore[arg-type]
    for function in (covariance_loss, dominant_singular_value_loss):
        with pytest.raises(ValueError, match=r"`features` must have shape \(..., D\) with rows, got \(3,\)"):
            function(z[0])
        with pytest.raises(TypeError, match=r"`features` must be floating point, got torch.int64"):
            function(z.long())
        with pytest.raises(TypeError, match="`features` must be a torch tensor, got ndarray"):
            function(z.numpy())  # type: ignore[arg-type]
