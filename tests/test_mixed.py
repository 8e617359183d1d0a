"""The float32 form of the dominant term: as precise as it says where it is taken, and not taken elsewhere."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from noisymodel import _gram, _mixed
from noisymodel._autograd import batch_and_dominant_term
from noisymodel.losses import covariance_loss, dominant_singular_value_loss, nmtune_regularization
from reference import losses as naive

SHAPES = [(128, 256), (300, 136), (144, 144)]
WEIGHTS = {"consistency_weight": 0.7, "covariance_weight": 0.3, "dominant_weight": 0.5}


def gaussian(shape: tuple[int, int], seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def with_spectrum(shape: tuple[int, int], values: Tensor) -> Tensor:
    u, _, vh = torch.linalg.svd(gaussian(shape, 3), full_matrices=False)
    return (u * values.double()) @ vh


def geometric(shape: tuple[int, int], condition: float) -> Tensor:
    return with_spectrum(shape, torch.logspace(0, -math.log10(condition), min(shape), dtype=torch.float64))


def two_levels(shape: tuple[int, int], condition: float) -> Tensor:
    """Half of the singular values between 1 and 0.9, half of them small: leading ones lie close together."""
    size = min(shape)
    low = torch.full((size - size // 2,), 1 / condition)
    return with_spectrum(shape, torch.cat([torch.linspace(1, 0.9, size // 2), low]))


EASY = {
    "gaussian": gaussian,
    "geometric 10": lambda shape: geometric(shape, 10),
    "two levels 5": lambda shape: two_levels(shape, 5),
    "two levels 10": lambda shape: two_levels(shape, 10),
    "a mean": lambda shape: gaussian(shape) + 0.3,
    "σ ~ 1/√i": lambda shape: with_spectrum(shape, torch.arange(1, min(shape) + 1) ** -0.5),
}
HARD = {
    "geometric 1e3": lambda shape: geometric(shape, 1e3),
    "geometric 1e4": lambda shape: geometric(shape, 1e4),
    "two levels 300": lambda shape: two_levels(shape, 300),
    "collapsed": lambda shape: gaussian((1, shape[1]), 6) + 1e-4 * gaussian(shape),
    "a mean of 1e4": lambda shape: gaussian(shape) + 1e4,
    "rank 5": lambda shape: gaussian((shape[0], 5)) @ gaussian((5, shape[1]), 1),
    "zero": torch.zeros,
    "tiny": lambda shape: 1e-20 * gaussian(shape),
    "huge": lambda shape: 1e15 * gaussian(shape),
    "a number that is none": lambda shape: gaussian(shape).index_fill(0, torch.tensor([3]), math.nan),
}


def is_taken(features: Tensor, top_k: int) -> bool:
    if not _mixed.is_possible(features, top_k):
        return False
    batch = _gram.global_batch(features, None, None, torch.float32)
    return _mixed.dominant_term(batch, top_k, floor=1e-38) is not None


def gradient_of(function, features: Tensor) -> Tensor:
    leaf = features.detach().clone().requires_grad_()
    function(leaf).backward()
    assert leaf.grad is not None
    return leaf.grad


def error(got: Tensor, wanted: np.ndarray) -> float:
    return float(np.linalg.norm(got.double().numpy() - wanted) / np.linalg.norm(wanted))


@pytest.mark.parametrize("top_k", [1, 5])
@pytest.mark.parametrize(
    ("shape", "kind"), [(shape, kind) for shape in SHAPES for kind in EASY if (shape, kind) != ((144, 144), "a mean")]
)
def test_where_it_is_taken_value_and_gradient_are_five_times_better_than_asked_for(
    shape: tuple[int, int], kind: str, top_k: int
) -> None:
    features = EASY[kind](shape).float()
    exact = features.double().numpy()
    assert is_taken(features, top_k)
    gradient = gradient_of(lambda z: dominant_singular_value_loss(z, top_k=top_k), features)
    assert error(gradient, naive.dominant_gradient(exact, top_k)) <= 1e-5
    value = dominant_singular_value_loss(features.requires_grad_(), top_k=top_k).item()
    assert value == pytest.approx(naive.dominant(exact, top_k), rel=1e-6)


@pytest.mark.parametrize("kind", HARD)
@pytest.mark.parametrize("shape", SHAPES)
def test_elsewhere_everything_is_float64(shape: tuple[int, int], kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    features = HARD[kind](shape).float()
    assert not is_taken(features, 1)
    taken = gradient_of(dominant_singular_value_loss, features)
    monkeypatch.setattr(_mixed, "SMALLEST", 10**9)
    assert torch.equal(taken.nan_to_num(), gradient_of(dominant_singular_value_loss, features).nan_to_num())


def test_what_is_not_float32_or_too_small_or_has_too_many_leading_values_is_left_alone() -> None:
    rows = torch.zeros(_mixed.SMALLEST, 300)
    assert _mixed.is_possible(rows, 1)
    assert not _mixed.is_possible(rows[1:], 1)
    assert not _mixed.is_possible(rows.double(), 1)
    assert not _mixed.is_possible(rows, 0)
    assert _mixed.is_possible(rows, _mixed.SMALLEST // _mixed.CORRECTED)
    assert not _mixed.is_possible(rows, _mixed.SMALLEST // _mixed.CORRECTED + 1)


def test_the_ends_are_what_makes_it_precise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without what couples them to the rest, close leading singular values cost the gradient its digits."""
    features = two_levels((128, 256), 10).float()
    wanted = naive.dominant_gradient(features.double().numpy(), 1)
    corrected = _mixed._corrected

    def uncoupled(batch: _gram.Batch, chosen: Tensor) -> _mixed._Ends:
        ends = corrected(batch, chosen)
        return ends._replace(residuals=torch.zeros_like(ends.residuals))

    precise = error(gradient_of(dominant_singular_value_loss, features), wanted)
    monkeypatch.setattr(_mixed, "_corrected", uncoupled)
    assert error(gradient_of(dominant_singular_value_loss, features), wanted) > 5 * precise


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (torch.cat([torch.linspace(0.5, 0.7, 127), torch.ones(1)]), (0, 0)),
        (torch.cat([torch.linspace(0.5, 0.99999, 127), torch.ones(1)]), (0, 1)),
        (torch.cat([torch.full((3,), 0.01), torch.linspace(0.5, 0.7, 124), torch.ones(1)]), (3, 0)),
        (torch.full((128,), -1.0), (16, 1)),
    ],
)
def test_only_the_ends_that_need_it_are_corrected(values: Tensor, wanted: tuple[int, int]) -> None:
    eigenvalues = values.double().square() * values.sign()
    assert _mixed._numbers_to_correct(eigenvalues.numpy(), 1) == wanted


@pytest.mark.parametrize("top_k", [1, 5])
def test_what_leading_vectors_lose_is_below_the_estimate(top_k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_mixed, "LEADING", math.inf)  # none is corrected
    losses: list[float] = []
    for seed in range(12):
        features = gaussian((128, 512), seed).float()
        exact = features.double().numpy()
        eigenvalues = np.linalg.eigvalsh(exact @ exact.T)
        share = -naive.dominant(exact, top_k)
        estimate = _mixed._leading_error(eigenvalues, share, top_k)
        gradient = gradient_of(lambda z: dominant_singular_value_loss(z, top_k=top_k), features)
        losses.append(error(gradient, naive.dominant_gradient(exact, top_k)) / estimate)
    assert 0.05 < max(losses) < 1.2


def test_a_dominant_direction_needs_no_correction(monkeypatch: pytest.MonkeyPatch) -> None:
    features = with_spectrum((128, 512), torch.cat([torch.ones(1), torch.linspace(0.7, 0.3, 127)])).float()
    monkeypatch.setattr(_mixed, "_corrected", None)
    assert is_taken(features, 1)


SMALL = [(64, 256), (256, 64), (48, 48)]


def narrow(features: Tensor, top_k: int = 1) -> bool:
    """Whether the gradient's product is float32 on float64 statistics."""
    _, term = batch_and_dominant_term(features, top_k, None, None, True)
    return term.matrix.dtype == torch.float32


@pytest.mark.parametrize("top_k", [1, 5])
@pytest.mark.parametrize("shape", SMALL)
def test_small_batches_multiply_in_float32_where_that_is_precise(shape: tuple[int, int], top_k: int) -> None:
    features = (geometric(shape, 10) + 0.01).float()
    assert narrow(features, top_k)
    weights = {"consistency_weight": 0.0, "covariance_weight": 30.0, "dominant_weight": 1.0, "top_k": top_k}
    gradient = gradient_of(lambda z: nmtune_regularization(z, None, **weights).total, features)
    exact = features.double().numpy()
    wanted = naive.dominant_gradient(exact, top_k) + 30 * naive.covariance_gradient(exact)
    assert 3e-8 < error(gradient, wanted) <= 2e-6


@pytest.mark.parametrize("shape", SMALL)
@pytest.mark.parametrize("kind", sorted(set(HARD) - {"zero", "a number that is none", "two levels 300"}))
def test_small_batches_multiply_in_float64_elsewhere(shape: tuple[int, int], kind: str) -> None:
    assert not narrow(HARD[kind](shape).float())


def test_float64_rows_and_as_many_leading_values_as_there_are_stay_float64() -> None:
    assert not narrow(gaussian((8, 16)))
    assert narrow(gaussian((8, 16)).float())
    assert not narrow(gaussian((8, 16)).float(), 8)  # the gradient is zero


@pytest.mark.parametrize("shape", SHAPES)
def test_the_covariance_shares_its_statistics(shape: tuple[int, int]) -> None:
    features = gaussian(shape).float() + 0.1
    leaf = features.clone().requires_grad_()
    terms = nmtune_regularization(leaf, None, **WEIGHTS)
    terms.covariance.backward()
    assert leaf.grad is not None
    exact = features.double().numpy()
    assert error(leaf.grad, naive.covariance_gradient(exact)) <= 2e-6
    assert terms.covariance.item() == pytest.approx(covariance_loss(features.double()).item(), rel=1e-6)


def test_features_whose_covariance_would_cancel_are_float64() -> None:
    """By rows the term is ‖K‖² − Σv²: of uncorrelated features with disjoint rows nothing is left."""
    scattered = torch.zeros(128, 256)
    scattered[torch.arange(128), torch.arange(128)] = torch.linspace(1, 2, 128)
    assert not is_taken(scattered, 1)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_rows_have_the_same_statistics(dtype: torch.dtype) -> None:
    half = gaussian((128, 256)).to(dtype)
    got, wanted = (gradient_of(lambda z: 100 * dominant_singular_value_loss(z), z) for z in (half, half.float()))
    assert got.dtype == dtype
    assert error(got, wanted.double().numpy()) <= torch.finfo(dtype).eps


def test_autocast_changes_nothing_forward_or_backward() -> None:
    features, reference = gaussian((128, 256)).float(), gaussian((128, 256), 1).float()

    def total(z: Tensor) -> Tensor:
        return nmtune_regularization(z, reference, top_k=5, **WEIGHTS).total

    outside = gradient_of(total, features)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(gradient_of(total, features), outside)
        alone = gradient_of(dominant_singular_value_loss, features)
    assert torch.equal(gradient_of(dominant_singular_value_loss, features), alone)
    assert is_taken(features, 5)


def test_the_result_is_the_same_each_time() -> None:
    features = gaussian((144, 144)).float()
    first = gradient_of(dominant_singular_value_loss, features)
    assert torch.equal(first, gradient_of(dominant_singular_value_loss, features))
