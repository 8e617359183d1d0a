"""L2-SP and embedding distortion against their sums, entry by entry."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from noisymodel.baselines import embedding_distortion, l2_sp_penalty
from noisymodel.losses import consistency_loss
from reference import neighbours


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def parameters() -> dict[str, Tensor]:
    return {"backbone.weight": gaussian(3, 4), "backbone.bias": gaussian(3, seed=1), "head": gaussian(2, 3, seed=2)}


def start() -> dict[str, Tensor]:
    return {"backbone.weight": gaussian(3, 4, seed=3), "backbone.bias": gaussian(3, seed=4)}


@pytest.mark.parametrize(("alpha", "beta"), [(0.1, 0.01), (2.0, 0.0), (0.0, 3.0)])
def test_l2_sp_against_the_sum(alpha: float, beta: float) -> None:
    arrays = [{name: value.numpy() for name, value in state.items()} for state in (parameters(), start())]
    value = l2_sp_penalty(parameters(), start(), alpha=alpha, beta=beta)
    assert value.dtype == torch.float64
    assert value.item() == pytest.approx(neighbours.l2_sp(*arrays, alpha, beta), rel=1e-12)


def test_l2_sp_default_weights_are_those_of_the_docstring() -> None:
    assert l2_sp_penalty(parameters(), start()) == l2_sp_penalty(parameters(), start(), alpha=0.01, beta=0.01)


def test_l2_sp_pulls_back_to_the_start_and_new_weights_to_zero() -> None:
    model = nn.ParameterDict({"shared": gaussian(3).float(), "fresh": gaussian(2, seed=5).float()})
    begin = {"shared": nn.Parameter(torch.ones(3))}
    l2_sp_penalty(dict(model.named_parameters()), begin, alpha=2.0, beta=3.0).backward()
    torch.testing.assert_close(model["shared"].grad, 2 * (model["shared"].detach() - 1))
    torch.testing.assert_close(model["fresh"].grad, 3 * model["fresh"].detach())
    assert begin["shared"].grad is None


def test_l2_sp_of_half_precision_is_summed_in_float32() -> None:
    many = {"w": torch.ones(5000, dtype=torch.bfloat16)}
    value = l2_sp_penalty(many, {"w": torch.zeros(5000, dtype=torch.bfloat16)}, alpha=2.0)
    assert value.dtype == torch.float32
    assert value == 5000
    assert l2_sp_penalty({}, {}) == 0


def test_l2_sp_errors() -> None:
    with pytest.raises(ValueError, match="`parameters` must have the names of `start`, 'gone' is missing"):
        l2_sp_penalty(parameters(), {"gone": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"`start` must have the shape \(2, 3\) .* under 'head', got \(1,\)"):
        l2_sp_penalty(parameters(), {"head": torch.zeros(1)})
    for name in ("alpha", "beta"):
        with pytest.raises(ValueError, match=rf"`{name}` must be in \[0, inf\), got -1"):
            l2_sp_penalty(parameters(), start(), **{name: -1})


@pytest.mark.parametrize("distance", ["cosine", "squared"])
@pytest.mark.parametrize("shape", [(6, 4), (2, 3, 4), (1, 5)])
def test_distortion_against_the_sum(distance: str, shape: tuple[int, ...]) -> None:
    z, f = gaussian(*shape), gaussian(*shape, seed=1)
    rows = [np.asarray(matrix).reshape(-1, shape[-1]) for matrix in (z, f)]
    value = embedding_distortion(z, f, distance=distance)
    assert value.item() == pytest.approx(neighbours.embedding_distortion(*rows, distance), rel=1e-12)
    z = z.requires_grad_()
    torch.autograd.gradcheck(lambda z: embedding_distortion(z, f, distance=distance), (z,))


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 1000), st.floats(0.1, 10))
def test_distortion_laws(rows: int, features: int, seed: int, factor: float) -> None:
    z, f = gaussian(rows, features, seed=seed), gaussian(rows, features, seed=seed + 5000)
    cosine = embedding_distortion(z, f).item()
    assert 0 <= cosine <= 2 + 1e-12
    assert cosine == pytest.approx(consistency_loss(z, f, reduction="batchmean").item() / 2, rel=1e-9, abs=1e-12)
    assert embedding_distortion(factor * z, f).item() == pytest.approx(cosine, rel=1e-9, abs=1e-12)
    assert embedding_distortion(z, z).item() == pytest.approx(0, abs=1e-12)
    squared = embedding_distortion(z, f, distance="squared").item()
    scaled = embedding_distortion(factor * z, factor * f, distance="squared").item()
    assert scaled == pytest.approx(factor**2 * squared, rel=1e-9)


def test_distortion_leaves_the_pretrained_alone_and_raises_half_precision() -> None:
    z, f = gaussian(4, 3).bfloat16().requires_grad_(), gaussian(4, 3, seed=1).bfloat16().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = embedding_distortion(z, f)
    assert value.dtype == torch.float32
    value.backward()
    assert z.grad.isfinite().all()
    assert f.grad is None


def test_distortion_of_a_zero_row() -> None:
    z = torch.zeros(1, 3).requires_grad_()
    value = embedding_distortion(z, torch.ones(1, 3))
    value.backward()
    assert value == 1
    assert z.grad.isfinite().all()


def test_distortion_errors() -> None:
    with pytest.raises(ValueError, match=r"`pretrained` must have the shape of `tuned`, \(2, 3\), got \(2, 4\)"):
        embedding_distortion(torch.ones(2, 3), torch.ones(2, 4))
    with pytest.raises(ValueError, match=r"`tuned` must have at least one row, got shape \(0, 3\)"):
        embedding_distortion(torch.ones(0, 3), torch.ones(0, 3))
    with pytest.raises(ValueError, match="`distance` must be one of 'cosine', 'squared', got 'l1'"):
        embedding_distortion(torch.ones(2, 3), torch.ones(2, 3), distance="l1")
    with pytest.raises(TypeError, match="`pretrained` must be a torch tensor"):
        embedding_distortion(torch.ones(2, 3), [1.0])  # type: ignore[arg-type]
