"""Whitening against the covariance that it makes, and the probe on top of it (its contract: tests/heads)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from noisymodel import LinearProbe
from noisymodel.baselines import WhitenedProbe, whitening
from reference import neighbours


def correlated(rows: int, features: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(features, features, generator=generator, dtype=torch.float64)
    return torch.randn(rows, features, generator=generator, dtype=torch.float64) @ mixing + 5


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("kind", ["zca", "pca"])
@pytest.mark.parametrize("shrinkage", [0.0, 0.1, 0.7, 1.0])
def test_matrix_whitens_the_shrunk_covariance(kind: str, shrinkage: float) -> None:
    features = correlated(30, 5)
    mean, matrix = whitening(features, kind=kind, shrinkage=shrinkage)
    np.testing.assert_allclose(mean, features.numpy().mean(0))
    shrunk = neighbours.shrunk_covariance(features.numpy(), shrinkage)
    np.testing.assert_allclose(matrix.numpy().T @ shrunk @ matrix.numpy(), np.eye(5), atol=1e-10)
    if kind == "zca":
        np.testing.assert_allclose(matrix, matrix.mT, atol=1e-12)
        assert np.linalg.eigvalsh(matrix.numpy()).min() > 0
    else:
        lengths = matrix.square().sum(0)
        assert (lengths[1:] >= lengths[:-1] - 1e-12).all(), "the largest variance comes first"


@settings(deadline=None, max_examples=20)
@given(st.integers(2, 12), st.integers(1, 8), st.integers(0, 1000), st.floats(0.01, 1))
def test_features_are_never_amplified_beyond_the_shrinkage(rows: int, width: int, seed: int, shrinkage: float) -> None:
    features = correlated(rows, width, seed)
    mean, matrix = whitening(features, shrinkage=shrinkage)
    covariance = neighbours.shrunk_covariance(((features - mean) @ matrix).numpy(), 0)
    assert np.linalg.eigvalsh(covariance).max() <= 1 / (1 - shrinkage) + 1e-6 if shrinkage < 1 else True
    bound = 1 / (shrinkage * np.trace(neighbours.shrunk_covariance(features.numpy(), 0)) / width)
    assert torch.linalg.matrix_norm(matrix, 2).item() ** 2 <= bound * (1 + 1e-6)


def test_directions_without_variance_get_weight_zero() -> None:
    features = correlated(20, 3) @ torch.eye(3, 5, dtype=torch.float64)  # two features are constant
    for kind in ("zca", "pca"):
        mean, matrix = whitening(features, kind=kind, shrinkage=0.0)
        covariance = neighbours.shrunk_covariance(((features - mean) @ matrix).numpy(), 0)
        np.testing.assert_allclose(np.sort(np.linalg.eigvalsh(covariance)), [0, 0, 1, 1, 1], atol=1e-9)
    constant = torch.ones(4, 3)
    assert torch.equal(whitening(constant)[1], torch.zeros(3, 3))


def test_types_and_shapes() -> None:
    mean, matrix = whitening(correlated(24, 4).float().reshape(2, 12, 4))
    assert mean.dtype == matrix.dtype == torch.float32
    expected = whitening(correlated(24, 4).float().double())
    torch.testing.assert_close((mean.double(), matrix.double()), expected, rtol=1e-6, atol=1e-6)


def test_whitening_errors() -> None:
    with pytest.raises(ValueError, match="`features` must have at least two rows for a covariance, got 1"):
        whitening(torch.ones(1, 3))
    with pytest.raises(ValueError, match="`features` must be finite, got NaN or infinity"):
        whitening(torch.tensor([[1.0, float("nan")], [0.0, 1.0]]))
    with pytest.raises(ValueError, match="`kind` must be one of 'zca', 'pca', got 'cholesky'"):
        whitening(torch.ones(3, 3), kind="cholesky")
    with pytest.raises(ValueError, match=r"`shrinkage` must be in \[0, 1\], got 2"):
        whitening(torch.ones(3, 3), shrinkage=2)


@pytest.mark.parametrize("settings", [{}, {"kind": "pca", "shrinkage": 0.0, "label_smoothing": 0.1}])
def test_probe_whitens_and_keeps_it_in_its_files(settings: dict[str, object], tmp_path) -> None:
    features = correlated(40, 5).float()
    head = WhitenedProbe(5, 3, generator=generator(), **settings)  # type: ignore[arg-type]
    assert torch.equal(head.tune(features), features)
    weight = head.classifier.weight.clone()
    assert head.whiten(features) is head
    assert torch.equal(head.classifier.weight, weight)
    options = {name: head.config()[name] for name in ("kind", "shrinkage")}
    mean, matrix = whitening(features, **options)  # type: ignore[arg-type]
    torch.testing.assert_close(head.tune(features), (features - mean) @ matrix)
    assert {name for name, _ in head.named_parameters()} == {"classifier.weight", "classifier.bias"}
    head.save_pretrained(tmp_path)
    loaded = WhitenedProbe.from_pretrained(tmp_path)
    assert loaded.config() == head.config()
    assert torch.equal(loaded(features), head(features))


def test_folded_probe_is_the_same_classifier() -> None:
    features = correlated(40, 5)
    head = WhitenedProbe(5, 3, label_smoothing=0.1, generator=generator()).double().whiten(features)
    folded = head.fold()
    assert type(folded) is LinearProbe
    assert folded.objective.label_smoothing == 0.1
    torch.testing.assert_close(folded(features), head(features))
    assert head.eval().fold().training is False


def test_probe_errors() -> None:
    with pytest.raises(ValueError, match="`kind` must be one of 'zca', 'pca', got 'x'"):
        WhitenedProbe(5, 3, kind="x")
    with pytest.raises(ValueError, match=r"`shrinkage` must be in \[0, 1\], got -1"):
        WhitenedProbe(5, 3, shrinkage=-1, generator=generator())
    with pytest.raises(ValueError, match=r"`features` must have 5 features in the last dimension, got shape \(3, 4\)"):
        WhitenedProbe(5, 3, generator=generator()).whiten(torch.ones(3, 4))
    with pytest.raises(ValueError, match=r"no classifier to fold .* head\.reset\(num_classes\)"):
        WhitenedProbe(5, 0, generator=generator()).fold()
