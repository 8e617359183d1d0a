"""Eigenvalue entropy and NESum: golden values, the naive reference, what they are not."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from golden import GOLDEN, golden_matrix
from noisymodel.spectrum import analyze, effective_rank, eigenvalue_entropy, nesum, singular_value_entropy
from reference import spectrum as naive

values = st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=20)


# eigenvalue entropies by independent float64 code, as the other golden values
ENTROPIES = {
    ("gauss_1000x64", "none"): 4.12459230850043,
    ("gauss_1000x64", "column"): 4.124498826578757,
    ("diag_4321", "none"): 1.078476775117421,
    ("diag_4321", "column"): 0.8973081720665068,
    ("identity_32", "column"): 3.433987204485146,
}


@pytest.mark.parametrize(("name", "center"), ENTROPIES)
def test_golden_entropy(name: str, center: str) -> None:
    spectrum = analyze(golden_matrix(name), center=center)
    expected = ENTROPIES[name, center]
    assert eigenvalue_entropy(spectrum.singular_values) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", ["gauss_1000x64", "diag_4321", "identity_32", "wide_20x100"])
def test_golden_nesum_is_of_the_covariance(name: str) -> None:
    spectrum = analyze(golden_matrix(name), center="column")
    covariance = np.linalg.eigvalsh(np.cov(golden_matrix(name).T))
    assert nesum(spectrum) == pytest.approx(GOLDEN["spectra"][name]["column_centered"]["nesum"], rel=1e-9)
    assert nesum(spectrum) == pytest.approx(covariance.sum() / covariance[-1], rel=1e-9)


@settings(deadline=None, max_examples=50)
@given(values, st.sampled_from([1e-200, 1.0, 1e200]))
def test_equals_the_naive_reference_at_any_scale(singular: list[float], scale: float) -> None:
    found = eigenvalue_entropy([scale * value for value in singular])
    assert found == pytest.approx(naive.entropy([value**2 for value in singular]), rel=1e-9, abs=1e-12)
    assert -1e-12 <= found <= singular_value_entropy(singular) + 1e-12
    assert math.exp(found) == pytest.approx(effective_rank([value**2 for value in singular]), rel=1e-9)


def test_kinds_zeros_and_bad_values() -> None:
    found = eigenvalue_entropy(torch.tensor([1.0, 3.0], dtype=torch.float32))
    assert found.dtype == torch.float32
    assert float(found) == pytest.approx(naive.entropy([1.0, 9.0]), rel=1e-6)
    assert eigenvalue_entropy([3.0, 1.0, 0.0]) == pytest.approx(naive.entropy([9.0, 1.0]))
    assert math.isnan(eigenvalue_entropy([0.0, 0.0]))
    with pytest.raises(ValueError, match="`singular_values` must be finite and not negative"):
        eigenvalue_entropy([1.0, -1.0])


def test_nesum_is_of_centred_columns_only() -> None:
    rows = np.random.default_rng(0).standard_normal((30, 4)) + 5.0
    with pytest.raises(ValueError, match=r"`spectrum` must be of centred columns, which `analyze\(features, center='c"):
        nesum(analyze(rows))
    expected = analyze(rows - rows.mean(axis=0)).stable_rank
    assert nesum(analyze(rows, center="column")) == pytest.approx(expected, rel=1e-9)
