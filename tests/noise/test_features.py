"""Noise in features: the scale of each kind, masks, dtypes and devices, gradients, bad input."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from noisymodel.noise import corrupt_features

ROWS = np.random.default_rng(0).standard_normal((400, 50)) * np.linspace(0, 4, 50) + 3
TOKENS = np.random.default_rng(1).standard_normal((6, 10, 32))
MASK = np.arange(10) < np.array([10, 7, 5, 3, 1, 0])[:, None]
KINDS = {
    "sigma": {"kind": "gaussian", "sigma": 0.5},
    "relative": {"kind": "gaussian", "relative_sigma": 0.5},
    "snr": {"kind": "gaussian", "snr": 10},
    "dropout": {"kind": "dropout", "rate": 0.3},
    "neftune": {"kind": "neftune", "alpha": 5},
}
ALL = pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)


@pytest.mark.parametrize("sigma", [0.1, 2.0])
def test_absolute_gaussian_noise(sigma: float) -> None:
    noise = corrupt_features(ROWS, sigma=sigma, seed=0) - ROWS
    assert noise.std() == pytest.approx(sigma, rel=5 / np.sqrt(2 * noise.size))
    assert abs(noise.mean()) < 5 * sigma / np.sqrt(noise.size)
    assert (noise**4).mean() / sigma**4 == pytest.approx(3, abs=5 * np.sqrt(96 / noise.size))


def test_relative_gaussian_noise_follows_each_feature() -> None:
    noise = corrupt_features(ROWS, relative_sigma=0.5, seed=0) - ROWS
    assert (noise[:, 0] == 0).all(), "a constant feature gets none"
    ratio = noise[:, 1:].std(axis=0) / (0.5 * ROWS[:, 1:].std(axis=0))
    np.testing.assert_allclose(ratio, 1, atol=5 / np.sqrt(800))
    shifted = corrupt_features(ROWS + 100, relative_sigma=0.5, seed=0) - 100
    np.testing.assert_allclose(shifted, ROWS + noise, atol=1e-6)
    unit = corrupt_features(ROWS, sigma=1.0, seed=0) - ROWS
    np.testing.assert_allclose(noise, 0.5 * ROWS.std(axis=0) * unit, rtol=1e-5, atol=1e-12)


def test_a_single_row_has_no_spread() -> None:
    assert np.array_equal(corrupt_features(ROWS[:1], relative_sigma=0.5, seed=0), ROWS[:1])


@pytest.mark.parametrize("decibels", [-10, 0, 20])
def test_signal_to_noise_ratio(decibels: float) -> None:
    noise = corrupt_features(ROWS, snr=decibels, seed=0) - ROWS
    ratio = 10 * np.log10((ROWS**2).mean() / (noise**2).mean())
    assert ratio == pytest.approx(decibels, abs=0.2)
    unit = corrupt_features(ROWS, sigma=1.0, seed=0) - ROWS
    np.testing.assert_allclose(noise, unit * np.sqrt((ROWS**2).mean() / 10 ** (decibels / 10)), rtol=1e-5)


@pytest.mark.parametrize("rate", [0.1, 0.7])
def test_dropout_keeps_the_mean(rate: float) -> None:
    ones = np.ones((200, 100))
    dropped = corrupt_features(ones, "dropout", rate=rate, seed=0)
    assert (dropped == 0).mean() == pytest.approx(rate, abs=5 * np.sqrt(rate * (1 - rate) / 20_000))
    np.testing.assert_allclose(dropped[dropped != 0], 1 / (1 - rate), rtol=1e-6)
    assert not corrupt_features(ones, "dropout", rate=1.0, seed=0).any()


def test_neftune_is_uniform_in_its_range() -> None:
    for shape, length in (((500, 40), 1), ((20, 25, 40), 25)):
        noise = corrupt_features(np.zeros(shape), "neftune", alpha=5, seed=0)
        bound = 5 / np.sqrt(length * 40)
        assert np.abs(noise).max() == pytest.approx(bound, rel=1e-3)
        assert np.abs(noise).max() <= bound * (1 + 1e-6)
        assert (noise**2).mean() == pytest.approx(bound**2 / 3, rel=0.03)
        assert abs(noise.mean()) < 5 * bound / np.sqrt(3 * noise.size)


def test_neftune_scales_by_the_attended_length() -> None:
    full = corrupt_features(np.zeros((6, 10, 32)), "neftune", alpha=7, seed=2)
    masked = corrupt_features(np.zeros((6, 10, 32)), "neftune", alpha=7, attention_mask=MASK, seed=2)
    for row, length in enumerate(MASK.sum(axis=1)):
        wanted = full[row, :length] * np.sqrt(10 / max(length, 1))
        np.testing.assert_allclose(masked[row, :length], wanted, rtol=1e-6)


@ALL
def test_masked_positions_are_untouched_and_count_in_no_statistic(options: dict) -> None:
    given = TOKENS.copy()
    noisy = corrupt_features(given, **options, attention_mask=MASK, seed=0)
    np.testing.assert_array_equal(noisy[~MASK], TOKENS[~MASK])
    assert (noisy[MASK] != TOKENS[MASK]).mean() > 0.2
    loud = np.where(MASK[..., None], TOKENS, 1e6)
    np.testing.assert_array_equal(corrupt_features(loud, **options, attention_mask=MASK, seed=0)[MASK], noisy[MASK])
    np.testing.assert_array_equal(given, TOKENS)
    nothing = corrupt_features(TOKENS, **options, attention_mask=np.zeros((6, 10), int), seed=0)
    np.testing.assert_array_equal(nothing, TOKENS)


@ALL
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_the_noise_is_the_same_for_every_kind_and_dtype(
    options: dict, dtype: torch.dtype, device: torch.device
) -> None:
    exact = torch.from_numpy(ROWS).to(dtype)
    noisy = corrupt_features(exact.to(device), **options, seed=3)
    assert noisy.dtype == dtype
    assert noisy.device.type == device.type
    wanted = corrupt_features(exact.double().numpy(), **options, seed=3)
    assert wanted.dtype == np.float64
    close = {torch.float64: 1e-12, torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 2e-2}[dtype]
    np.testing.assert_allclose(noisy.double().cpu().numpy(), wanted, rtol=close, atol=close)
    if dtype not in {torch.bfloat16}:
        half = corrupt_features(exact.numpy(), **options, seed=3)
        assert half.dtype == exact.numpy().dtype
        np.testing.assert_allclose(half, noisy.cpu().numpy(), rtol=close, atol=close)


@ALL
def test_seeds(options: dict) -> None:
    first = corrupt_features(ROWS, **options, seed=0)
    np.testing.assert_array_equal(first, corrupt_features(ROWS, **options, seed=0))
    assert (first != corrupt_features(ROWS, **options, seed=1)).mean() > 0.2
    flat = corrupt_features(TOKENS, **options, seed=0)
    assert flat.shape == TOKENS.shape


def test_gradients_pass() -> None:
    features = torch.from_numpy(ROWS).requires_grad_()
    corrupt_features(features, "neftune", alpha=5, seed=0).sum().backward()
    torch.testing.assert_close(features.grad, torch.ones_like(features))
    features.grad = None
    dropped = corrupt_features(features, "dropout", rate=0.5, seed=0)
    dropped.sum().backward()
    torch.testing.assert_close(features.grad, torch.where(dropped == 0, 0.0, 2.0).double())


@pytest.mark.parametrize(
    "options",
    [{"sigma": 0.0}, {"relative_sigma": 0}, {"kind": "dropout", "rate": 0.0}, {"kind": "neftune", "alpha": 0}],
)
def test_no_strength_is_the_identity(options: dict) -> None:
    np.testing.assert_array_equal(corrupt_features(ROWS, **options, seed=0), ROWS)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"kind": "laplace", "sigma": 1}, ValueError, "`kind` must be one of 'gaussian', 'dropout', 'neftune'"),
        ({}, TypeError, "'gaussian' noise takes `sigma` or `relative_sigma` or `snr` and no other strength, got none"),
        ({"sigma": 1, "snr": 1}, TypeError, "no other strength, got sigma, snr"),
        ({"kind": "dropout", "alpha": 1}, TypeError, "'dropout' noise takes `rate` and no other strength, got alpha"),
        ({"sigma": -1}, ValueError, r"`sigma` must be in \[0, inf\), got -1"),
        ({"kind": "dropout", "rate": 1.1}, ValueError, r"`rate` must be in \[0, 1\], got 1.1"),
        ({"snr": float("nan")}, ValueError, "`snr` must be in"),
        ({"sigma": 1, "attention_mask": np.ones((3, 2))}, ValueError, r"`attention_mask` must have shape \(B, L\)"),
        ({"sigma": 1, "seed": -1}, ValueError, "`seed` must be in"),
    ],
)
def test_bad_options(options: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        corrupt_features(ROWS, **{"seed": 0, **options})


@pytest.mark.parametrize(
    ("features", "error", "message"),
    [
        ([[1.0]], TypeError, "`features` must be a numpy array or a torch tensor, got list"),
        (np.ones((2, 2), int), TypeError, "`features` must be floating point, got int64"),
        (torch.ones(2, 2, dtype=torch.long), TypeError, "`features` must be floating point, got torch.int64"),
        (np.ones(3), ValueError, r"must have shape \(N, D\) or \(B, L, D\) and not be empty, got \(3,\)"),
        (np.ones((0, 3)), ValueError, r"and not be empty, got \(0, 3\)"),
        (np.array([[1.0, np.nan]]), ValueError, r"`features` must be finite, got nan at \(0, 1\)"),
        (torch.tensor([[np.inf, 1.0]]), ValueError, r"`features` must be finite, got inf at \(0, 0\)"),
    ],
)
def test_bad_features(features: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        corrupt_features(features, sigma=1.0, seed=0)
