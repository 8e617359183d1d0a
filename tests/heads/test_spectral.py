"""The regularizers on the features themselves."""

from __future__ import annotations

import pytest
import torch

from noisymodel.heads import SpectralProbe
from noisymodel.losses import consistency_loss, covariance_loss, dominant_singular_value_loss


def head(**options):
    return SpectralProbe(6, 3, generator=torch.Generator().manual_seed(0), **options)


def rows(seed: int = 1) -> torch.Tensor:
    return torch.randn(12, 6, generator=torch.Generator().manual_seed(seed))


def test_terms_are_of_the_features() -> None:
    made = head(consistency_weight=0.5, covariance_weight=0.04, dominant_weight=0.001, top_k=5, reduction="batchmean")
    terms = made.loss(rows(), torch.arange(12) % 3, reference=rows(2))
    torch.testing.assert_close(made.tune(rows()), rows())
    torch.testing.assert_close(terms.task, torch.nn.functional.cross_entropy(made(rows()), torch.arange(12) % 3))
    torch.testing.assert_close(terms.consistency, consistency_loss(rows(), rows(2), reduction="batchmean"))
    torch.testing.assert_close(terms.covariance, covariance_loss(rows()))
    torch.testing.assert_close(terms.dominant, dominant_singular_value_loss(rows(), top_k=5))
    total = terms.task + 0.5 * terms.consistency + 0.04 * terms.covariance + 0.001 * terms.dominant
    torch.testing.assert_close(terms.total, total)


def test_gradient_reaches_the_features_and_not_the_classifier() -> None:
    features = rows().requires_grad_()
    made = head()
    made.regularization(features).total.backward()
    assert features.grad is not None
    assert features.grad.abs().sum() > 0
    assert made.classifier.weight.grad is None


def test_smallest_batch() -> None:
    assert head().smallest_batch == 2
    assert head(top_k=5).smallest_batch == 5


def test_files(tmp_path) -> None:
    made = head(covariance_weight=0.3, label_smoothing=0.1)
    made.save_pretrained(tmp_path)
    loaded = SpectralProbe.from_pretrained(tmp_path)
    assert loaded.config() == made.config()
    assert torch.equal(loaded(rows()), made(rows()))


def test_errors() -> None:
    with pytest.raises(ValueError, match="`top_k` must be at most `in_features` = 6, got 7"):
        head(top_k=7)
    with pytest.raises(ValueError, match=r"`covariance_weight` must be in \[0, inf\), got -1"):
        head(covariance_weight=-1)
