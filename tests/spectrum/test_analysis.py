"""From features to spectrum: analytic spectra, laws, centring, presets, dtypes, degenerate and bad input."""

from __future__ import annotations

import math
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from golden import GOLDEN, golden_matrix
from noisymodel.spectrum import Spectrum, analyze
from noisymodel.spectrum.analysis import CENTERS, Center
from reference.spectrum import center as naive_center
from reference.spectrum import matrix_with, normalize_rows

SHAPES = st.tuples(st.integers(2, 30), st.integers(2, 30))
SEEDS = st.integers(0, 1000)
ALL_CENTERS = pytest.mark.parametrize("center", CENTERS)


def gaussian(shape: tuple[int, int], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def orthogonal(size: int, seed: int) -> np.ndarray:
    return np.linalg.qr(gaussian((size, size), seed))[0]


def same_metrics(first: Spectrum, second: Spectrum) -> None:
    for name in ("entropy", "largest_ratio", "effective_rank", "stable_rank", "participation_ratio"):
        assert getattr(first, name) == pytest.approx(getattr(second, name), rel=1e-9, abs=1e-12), name


def test_the_choices_are_those_of_the_annotation() -> None:
    assert get_args(Center) == CENTERS


# --- analytic spectra


@pytest.mark.parametrize(("num_samples", "num_features"), [(200, 20), (20, 200), (20, 20)])
@pytest.mark.parametrize("smallest", [1.0, 1e-4, 1e-8])
def test_chosen_singular_values_come_back(num_samples: int, num_features: int, smallest: float) -> None:
    chosen = np.geomspace(1.0, smallest, 20)
    spectrum = analyze(matrix_with(chosen, num_samples, num_features, seed=1))
    assert spectrum.singular_values.dtype == np.float64
    assert (spectrum.num_samples, spectrum.num_features) == (num_samples, num_features)
    np.testing.assert_allclose(spectrum.singular_values, chosen, rtol=0, atol=1e-14)
    expected = Spectrum(chosen, num_samples, num_features)
    same_metrics(spectrum, expected)
    assert spectrum.condition_number == pytest.approx(1 / smallest, rel=1e-6)


def test_rank_deficient_features() -> None:
    chosen = np.geomspace(1.0, 0.1, 8)
    spectrum = analyze(matrix_with(chosen, 300, 64, seed=2))
    assert len(spectrum.singular_values) == 64
    assert spectrum.numerical_rank == 8
    assert spectrum.condition_number == math.inf
    same_metrics(spectrum, Spectrum(chosen, 300, 64))


def test_near_total_collapse_keeps_relative_accuracy() -> None:
    chosen = np.r_[1.0, np.full(63, 1e-9)]
    spectrum = analyze(matrix_with(chosen, 300, 64, seed=3))
    assert spectrum.largest_ratio == pytest.approx(math.log1p(63e-9), rel=1e-6)


def test_a_large_mean_does_not_hurt_the_centred_spectrum() -> None:
    features = golden_matrix("gauss_1000x64")
    golden = GOLDEN["spectra"]["gauss_1000x64"]["column_centered"]
    for mean in (1e4, 1e6):
        spectrum = analyze(features + mean, center="column")
        assert spectrum.entropy == pytest.approx(golden["sve"], rel=1e-9)
        assert spectrum.largest_ratio == pytest.approx(golden["lsvr"], rel=1e-9)


@pytest.mark.parametrize("center", ["column", "row"])
def test_the_rounding_of_a_huge_mean_adds_no_direction(center: str) -> None:
    generator = np.random.default_rng(0)
    signal = np.outer(generator.integers(-9, 9, size=997), generator.integers(-9, 9, size=13)).astype(float)
    shifted = signal + 2.0**40  # exactly representable, its mean is not
    same_metrics(analyze(shifted, center=center), analyze(signal, center=center))
    assert analyze(shifted, center=center).entropy < 1e-9


# --- laws


@ALL_CENTERS
@settings(deadline=None, max_examples=15)
@given(shape=SHAPES, seed=SEEDS, scale=st.sampled_from([-3.0, 1e-150, 1e150]))
def test_scale_changes_no_metric(center: str, shape: tuple[int, int], seed: int, scale: float) -> None:
    features = gaussian(shape, seed)
    same_metrics(analyze(scale * features, center=center), analyze(features, center=center))


@settings(deadline=None, max_examples=15)
@given(shape=SHAPES, seed=SEEDS)
def test_rotations_change_nothing(shape: tuple[int, int], seed: int) -> None:
    features = gaussian(shape, seed)
    same_metrics(analyze(features @ orthogonal(shape[1], seed)), analyze(features))
    same_metrics(analyze(orthogonal(shape[0], seed) @ features), analyze(features))
    rotated = analyze(features @ orthogonal(shape[1], seed), center="column")
    same_metrics(rotated, analyze(features, center="column"))


@ALL_CENTERS
@settings(deadline=None, max_examples=15)
@given(shape=SHAPES, seed=SEEDS, times=st.integers(2, 4))
def test_order_and_repetition_of_rows_change_nothing(
    center: str, shape: tuple[int, int], seed: int, times: int
) -> None:
    features = gaussian(shape, seed)
    expected = analyze(features, center=center)
    same_metrics(analyze(np.random.default_rng(seed).permutation(features), center=center), expected)
    same_metrics(analyze(np.tile(features, (times, 1)), center=center), expected)


@settings(deadline=None, max_examples=15)
@given(shape=SHAPES, seed=SEEDS)
def test_transposing_changes_nothing_and_zeros_add_nothing(shape: tuple[int, int], seed: int) -> None:
    features = gaussian(shape, seed)
    same_metrics(analyze(features.T.copy()), analyze(features))
    same_metrics(analyze(np.pad(features, ((0, 2), (0, 3)))), analyze(features))


@settings(deadline=None, max_examples=15)
@given(shape=SHAPES, seed=SEEDS)
def test_columns_that_are_shifted_are_the_same_when_centred(shape: tuple[int, int], seed: int) -> None:
    features = gaussian(shape, seed)
    shifted = features + 10 * gaussian((1, shape[1]), seed + 1)
    same_metrics(analyze(shifted, center="column"), analyze(features, center="column"))


# --- preprocessing


@pytest.mark.parametrize("normalize", [False, True])
@ALL_CENTERS
def test_preprocessing_equals_the_naive_one(center: str, normalize: bool) -> None:
    features = gaussian((40, 7), seed=4) + 1.0
    expected = normalize_rows(features) if normalize else features
    expected = expected if center == "none" else naive_center(expected, center)
    spectrum = analyze(features, center=center, normalize=normalize)
    np.testing.assert_allclose(spectrum.singular_values, np.linalg.svd(expected)[1], rtol=0, atol=1e-13)
    assert spectrum.centered == (center == "column")


def test_the_official_preset_is_unit_rows_less_their_own_mean() -> None:
    features = gaussian((40, 7), seed=4) + 1.0
    preset = analyze(features, preset="official")
    spelled_out = analyze(features, normalize=True, center="row")
    np.testing.assert_array_equal(preset.singular_values, spelled_out.singular_values)
    assert preset.entropy != pytest.approx(analyze(features, normalize=True, center="column").entropy, rel=1e-3)
    assert not preset.centered


def test_normalization_knows_no_overflow_and_leaves_zero_rows() -> None:
    features = gaussian((12, 5), seed=6)
    scales = np.geomspace(1e-300, 1e300, 12)[:, None]
    same_metrics(analyze(scales * features, normalize=True), analyze(features, normalize=True))
    same_metrics(analyze(np.pad(features, ((0, 3), (0, 0))), normalize=True), analyze(features, normalize=True))


# --- kinds and dtypes


@pytest.mark.parametrize(
    ("dtype", "epsilon"),
    [(torch.float64, 2**-52), (torch.float32, 2**-23), (torch.float16, 2**-10), (torch.bfloat16, 2**-7)],
    ids=str,
)
@pytest.mark.parametrize("preset", [None, "official"])
def test_torch_in_gives_torch_out(dtype, epsilon: float, preset, device: torch.device) -> None:
    features = torch.from_numpy(gaussian((30, 6), seed=7)).to(device, dtype).requires_grad_()
    spectrum = analyze(features, preset=preset)
    assert spectrum.singular_values.dtype == torch.float64
    assert spectrum.singular_values.device.type == device.type
    assert not spectrum.singular_values.requires_grad
    assert spectrum.epsilon == epsilon
    expected = analyze(features.detach().cpu().double().numpy(), preset=preset)
    np.testing.assert_allclose(spectrum.singular_values.cpu(), expected.singular_values, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble, ">f4"], ids=str)
def test_numpy_in_gives_numpy_out(dtype: type) -> None:
    features = gaussian((30, 6), seed=7).astype(dtype)
    spectrum = analyze(features)
    assert isinstance(spectrum.singular_values, np.ndarray)
    assert spectrum.singular_values.dtype == np.float64
    assert spectrum.epsilon == np.finfo(dtype).eps
    np.testing.assert_allclose(spectrum.singular_values, np.linalg.svd(features.astype(float))[1], rtol=1e-12)


def test_the_tolerance_follows_the_dtype_of_the_input() -> None:
    features = matrix_with(np.array([1.0, 0.5, 1e-6]), 1000, 3, seed=8)
    assert analyze(features).numerical_rank == 3
    single = analyze(features.astype(np.float32))
    assert single.numerical_rank == 2
    assert single.condition_number == math.inf


@ALL_CENTERS
@pytest.mark.parametrize("normalize", [False, True])
def test_inputs_are_never_mutated(center: str, normalize: bool) -> None:
    features = gaussian((20, 5), seed=9)
    before = features.copy()
    analyze(features, center=center, normalize=normalize)
    analyze(torch.from_numpy(features), center=center, normalize=normalize)
    np.testing.assert_array_equal(features, before)
    features.flags.writeable = False
    analyze(features, center=center, normalize=normalize)


def test_views_are_taken_as_they_look() -> None:
    features = gaussian((20, 12), seed=9)
    for view in (features[::-2, ::3], features.T):
        expected = np.linalg.svd(np.array(view))[1]
        np.testing.assert_allclose(analyze(view).singular_values, expected, rtol=1e-12)
    tensor = torch.from_numpy(features).T[::2]
    np.testing.assert_allclose(analyze(tensor).singular_values, np.linalg.svd(tensor.numpy())[1], rtol=1e-12)


# --- degenerate input


@ALL_CENTERS
@pytest.mark.parametrize("normalize", [False, True])
def test_zero_features_have_no_metrics_and_rank_zero(center: str, normalize: bool) -> None:
    spectrum = analyze(golden_matrix("zeros_10x5"), center=center, normalize=normalize)
    assert math.isnan(spectrum.entropy)
    assert math.isnan(spectrum.largest_ratio)
    assert spectrum.numerical_rank == 0


@pytest.mark.parametrize("value", [1.0, 0.1, 1e9 / 3])
@pytest.mark.parametrize("count", [2, 3, 50, 997])
def test_features_without_variation_are_exactly_zero_when_centred(value: float, count: int) -> None:
    rows = value * np.tile(golden_matrix("constant_rows_50x8")[:1], (count, 1))
    assert analyze(rows).entropy == pytest.approx(0.0, abs=1e-12)
    assert not analyze(rows, center="column").singular_values.any()
    assert math.isnan(analyze(rows, center="column").entropy)
    assert not analyze(rows.T.copy(), center="row").singular_values.any()
    assert analyze(rows, center="row").numerical_rank == 1


def test_one_row() -> None:
    spectrum = analyze(golden_matrix("one_row_1x16"))
    assert (spectrum.entropy, spectrum.largest_ratio, spectrum.numerical_rank) == (0.0, 0.0, 1)
    with pytest.raises(ValueError, match=r"`center` = 'column' needs at least 2 samples, got shape \(1, 16\)"):
        analyze(golden_matrix("one_row_1x16"), center="column")
    with pytest.raises(ValueError, match=r"`center` = 'row' needs at least 2 features, got shape \(16, 1\)"):
        analyze(golden_matrix("one_row_1x16").T, center="row")


def test_centring_few_rows_costs_one_rank() -> None:
    spectrum = analyze(gaussian((10, 30), seed=1), center="column")
    assert (len(spectrum.singular_values), spectrum.numerical_rank) == (10, 9)
    assert spectrum.condition_number == math.inf


# --- bad input


@pytest.mark.parametrize("kind", [np.array, torch.tensor])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_the_first_bad_row_is_named(kind, bad: float) -> None:
    features = np.ones((6, 3))
    features[2, 1] = features[4, 0] = bad
    with pytest.raises(ValueError, match=r"`features` must be finite: row 2 holds NaN or inf \(2 of 6 rows do\)"):
        analyze(kind(features))


@pytest.mark.parametrize("shape", [(3,), (2, 3, 4), (0, 3), (3, 0)])
def test_the_shape_is_checked(shape: tuple[int, ...]) -> None:
    message = r"`features` must have shape \(N, D\) with N, D >= 1, got \(" + ", ".join(map(str, shape))
    with pytest.raises(ValueError, match=message):
        analyze(np.ones(shape))
    with pytest.raises(ValueError, match=message):
        analyze(torch.ones(shape))


def test_the_type_is_checked() -> None:
    with pytest.raises(TypeError, match="`features` must be a torch tensor or a numpy array, got list"):
        analyze([[1.0]])
    with pytest.raises(TypeError, match="`features` must be floating point, got int64"):
        analyze(np.ones((2, 2), dtype=np.int64))
    with pytest.raises(TypeError, match=r"`features` must be floating point, got torch.complex64"):
        analyze(torch.ones(2, 2, dtype=torch.complex64))


def test_unknown_choices_are_listed() -> None:
    with pytest.raises(ValueError, match=r"`center` must be one of 'none', 'column', 'row', got 'rows'"):
        analyze(np.eye(2), center="rows")
    with pytest.raises(ValueError, match=r"`preset` must be one of 'official', None, got 'paper'"):
        analyze(np.eye(2), preset="paper")


@pytest.mark.parametrize("options", [{"center": "column"}, {"normalize": True}])
def test_a_preset_excludes_what_it_sets(options: dict) -> None:
    with pytest.raises(ValueError, match=r"`preset` sets `center` and `normalize` itself, got center="):
        analyze(np.eye(2), preset="official", **options)
