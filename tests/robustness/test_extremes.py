"""Numbers at the ends of what floats hold: a finite result, or an error that says so."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from noisymodel import noise, spectrum, subspace
from noisymodel.errors import MissingClassesWarning

ROWS = np.random.default_rng(0).normal(size=(30, 4))
OTHER = np.random.default_rng(1).normal(size=(30, 5))


def test_the_smallest_temperature_is_the_nearest_class() -> None:
    for temperature in (5e-324, 1e-320, 1e-308):
        sharp = noise.similarity_transition(ROWS[:4], 0.5, temperature)
        assert np.isfinite(sharp).all()
        np.testing.assert_allclose(sharp.sum(axis=1), 1)
        np.testing.assert_array_equal(sharp, noise.similarity_transition(ROWS[:4], 0.5, 1e-6))
    for scale in (1e-200, 1e200):
        scaled = noise.similarity_transition(ROWS[:4] * scale, 0.5)
        np.testing.assert_allclose(scaled, noise.similarity_transition(ROWS[:4], 0.5), rtol=1e-12)


def test_cka_and_angles_have_no_scale() -> None:
    for scale in (1e-300, 1e-200, 1e200, 1e300):
        for debiased in (False, True):
            expected = subspace.linear_cka(ROWS, OTHER, debiased=debiased)
            assert subspace.linear_cka(ROWS * scale, OTHER, debiased=debiased) == pytest.approx(expected, rel=1e-9)
            wide = subspace.linear_cka(ROWS[:4] * scale, OTHER[:4] / scale, debiased=debiased)
            assert wide == pytest.approx(subspace.linear_cka(ROWS[:4], OTHER[:4], debiased=debiased), rel=1e-9)
        angles = subspace.principal_angles(ROWS * scale, OTHER[:, :4], k=2)
        np.testing.assert_allclose(angles, subspace.principal_angles(ROWS, OTHER[:, :4], k=2), rtol=1e-9)


def test_pairs_that_come_in_batches_say_what_their_sums_cannot_hold() -> None:
    for scale in (1e-200, 1e200):
        pairs = subspace.SubspaceAccumulator(4, 5)
        with pytest.raises(ValueError, match="`a` must have entries whose fourth powers"):
            pairs.update(ROWS * scale, OTHER)
        assert pairs.count == 0


@pytest.mark.parametrize("scale", [1e-320, 1e-200, 1e-100, 1e100, 1e200, 1e305])
def test_spectra_of_huge_and_tiny_features(scale: float) -> None:
    whole = np.round(ROWS * 100) / 128  # exact at every scale but the smallest
    for center in ("none", "column", "row"):
        found, expected = spectrum.analyze(whole * scale, center=center), spectrum.analyze(whole, center=center)
        assert found.entropy == pytest.approx(expected.entropy, rel=1e-9 if scale > 1e-300 else 0.1)
        assert found.effective_rank == pytest.approx(expected.effective_rank, rel=1e-9 if scale > 1e-300 else 0.1)
        assert np.isfinite(found.singular_values).all()
        assert math.isfinite(found.marchenko_pastur_edge())
    with pytest.raises(ValueError, match="`features` have singular values beyond the largest float64"):
        spectrum.analyze(np.full((300, 300), 1e307))


def test_accumulated_spectra_of_huge_and_tiny_features() -> None:
    for method in ("tsqr", "gram"):
        for scale in (1e-150, 1e-120, 1e120):
            total = spectrum.SpectrumAccumulator(4, method=method)
            total.update(ROWS * scale)
            assert total.spectrum().entropy == pytest.approx(spectrum.analyze(ROWS).entropy, rel=1e-6)
        for scale in (1e-250, 1e200):
            with pytest.raises(ValueError, match="`batch` must have entries whose squares"):
                spectrum.SpectrumAccumulator(4, method=method).update(ROWS * scale)


def test_noise_in_features_at_the_end_of_the_floats() -> None:
    near = np.full((3, 4), 3e38, dtype=np.float32)
    for given in (near, torch.from_numpy(near)):
        quiet = noise.corrupt_features(given, snr=3e38, seed=0)
        assert np.isfinite(np.asarray(quiet)).all()
        with pytest.raises(ValueError, match="`snr` must leave the noisy features within"):
            noise.corrupt_features(given, snr=-3e38, seed=0)
        with pytest.raises(ValueError, match="`snr` must leave the noisy features within"):
            noise.corrupt_features(given, snr=0.0, seed=0)
        with pytest.raises(ValueError, match="`rate` must leave the noisy features within"):
            noise.corrupt_features(given, "dropout", rate=0.5, seed=0)
    for strength in ({"sigma": 1e300}, {"relative_sigma": 1e300}):
        with pytest.raises(ValueError, match="must leave the noisy features within"):
            noise.corrupt_features(ROWS, **strength, seed=0)
    assert np.isfinite(noise.corrupt_features(ROWS * 1e-200, snr=10.0, seed=0)).all()


def test_widths_of_the_flip_probability() -> None:
    assert noise.expected_instance_rate(0.3, 1e300) == pytest.approx(0.5, abs=1e-3)
    assert noise.expected_instance_rate(0.3, 1e-320) == pytest.approx(0.3)
    labels = np.arange(2000) % 4
    rate = noise.instance_dependent(labels, np.ones((2000, 2)), 0.3, std=1e300, seed=0).realized_rate
    assert rate == pytest.approx(0.5, abs=0.05)


def test_missing_classes_are_said_and_absurd_ones_refused() -> None:
    with pytest.warns(
        MissingClassesWarning, match="hold 2 of the 4 classes up to the largest, none of class 0"
    ) as caught:
        noise.symmetric([1, 3, 1, 3], 0.5, seed=0)
    assert caught[0].filename == __file__
    noise.symmetric([1, 3, 1, 3], 0.5, num_classes=4, seed=0)
    with pytest.raises(ValueError, match="`labels` must be class indices below 16777216, got 4000000000"):
        noise.symmetric([0, 4_000_000_000], 0.5, seed=0)
