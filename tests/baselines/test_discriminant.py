"""Shrinkage LDA from sums that merge."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.covariance import oas
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from noisymodel.baselines import DiscriminantSums


def rows(count: int = 90) -> tuple[torch.Tensor, np.ndarray]:
    ids = np.arange(count) % 3
    noise = torch.randn(count, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return noise + torch.eye(5)[ids], ids


@pytest.mark.parametrize("shrinkage", ["oas", 0.2])
def test_it_is_scikit_learns(shrinkage: float | str) -> None:
    features, ids = rows()
    probe = DiscriminantSums(5, 3, normalize=None).update(features, ids).probe(shrinkage=shrinkage, dtype=torch.float64)
    part = shrinkage
    if shrinkage == "oas":
        means = np.stack([features[ids == label].mean(0).numpy() for label in range(3)])
        part = oas(features.numpy() - means[ids], assume_centered=True)[1]
    other = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=part).fit(features.numpy(), ids)
    ours = probe(features).softmax(1).detach().numpy()
    np.testing.assert_allclose(ours, other.predict_proba(features.numpy()), atol=2e-3)


def test_sums_merge_and_weights_are_repeated_rows() -> None:
    features, ids = rows()
    whole = DiscriminantSums(5, 3).update(features, ids)
    parts = (
        DiscriminantSums(5, 3)
        .update(features[:20], ids[:20])
        .merge(DiscriminantSums(5, 3).update(features[20:], ids[20:]))
    )
    torch.testing.assert_close(parts.products, whole.products)
    torch.testing.assert_close(parts.probe()(features.float()), whole.probe()(features.float()))
    weights = np.random.default_rng(0).integers(0, 3, 90)
    weighted = DiscriminantSums(5, 3).update(features, ids, sample_weight=weights)
    at = np.repeat(np.arange(90), weights)
    torch.testing.assert_close(weighted.sums, DiscriminantSums(5, 3).update(features[at], ids[at]).sums)


def test_absent_classes_and_bad_arguments() -> None:
    features, ids = rows()
    probe = DiscriminantSums(5, 4).update(features, ids).probe()
    assert 3 not in set(probe(features.float()).argmax(1).tolist())
    with pytest.raises(ValueError, match="`probe` needs rows"):
        DiscriminantSums(5, 3).probe()
    with pytest.raises(ValueError, match="`other` must have the same"):
        DiscriminantSums(5, 3).merge(DiscriminantSums(5, 3, normalize=None))
    with pytest.raises(ValueError, match=r"`targets` must be in \[0, 2\)"):
        DiscriminantSums(5, 2).update(features, ids)
    with pytest.raises(ValueError, match="`shrinkage`"):
        DiscriminantSums(5, 3).update(features, ids).probe(shrinkage="lw")
