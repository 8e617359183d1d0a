"""The terms of batches in training and evaluation, and their means."""

from __future__ import annotations

import math

import pytest
import torch

from noisymodel import LinearProbe, NMTune, NMTuneTerms
from noisymodel.integrations.terms import NAMES, TermMeans, batch_terms, means


def terms(*values: float) -> NMTuneTerms:
    return NMTuneTerms(*map(torch.tensor, values))


def parts(head, rows: int):
    features = torch.randn(rows, 8, generator=torch.Generator().manual_seed(1))
    logits, tuned = head(features, return_features=True)
    return logits, torch.arange(rows) % 3, tuned, features


def test_terms_are_those_of_the_head() -> None:
    head = NMTune(8, 3, covariance_weight=0.3, norm="layer", input_noise=0.0)
    logits, targets, tuned, features = parts(head, 10)
    wanted = head.loss(features, targets)
    for training in (True, False):
        torch.testing.assert_close(batch_terms(head, logits, targets, tuned, features, training=training), wanted)


def test_a_head_without_regularizers_has_the_task_alone() -> None:
    head = LinearProbe(8, 3)
    logits, targets, tuned, features = parts(head, 1)
    found = batch_terms(head, logits, targets, tuned, features, training=True)
    assert found.total == found.task
    assert found.covariance == 0


@pytest.mark.parametrize(("rows", "top_k"), [(1, 1), (2, 4), (3, 4)])
def test_small_batches_of_evaluation_have_what_is_defined(rows: int, top_k: int) -> None:
    head = NMTune(
        8, 3, top_k=top_k, norm="layer", consistency_weight=2.0, reduction="batchmean", input_noise=0.0
    ).eval()
    logits, targets, tuned, features = parts(head, rows)
    found = batch_terms(head, logits, targets, tuned, features, training=False)
    assert found.covariance.isnan() == (rows < 2)
    assert found.dominant.isnan() == (rows < top_k)
    cosines = torch.nn.functional.cosine_similarity(tuned, features)
    torch.testing.assert_close(found.consistency, (2 - 2 * cosines).mean())
    weights = head.objective
    others = weights.covariance_weight * found.covariance.nan_to_num() + weights.dominant_weight * (
        found.dominant.nan_to_num()
    )
    torch.testing.assert_close(found.total, found.task + 2 * found.consistency + others)
    without = batch_terms(head, logits, targets, tuned, None, training=False)
    torch.testing.assert_close(without.total, without.task + others)
    with pytest.raises(ValueError, match=r"rows|top_k"):
        batch_terms(head, logits, targets, tuned, features, training=True)
    weights.covariance_weight = weights.dominant_weight = 0.0
    weightless = batch_terms(head, logits, targets, tuned, features, training=False)
    assert weightless.covariance == weightless.dominant == 0


def test_means_are_weighted() -> None:
    total = TermMeans()
    total.update(terms(9, 1, 2, 3, 4), 3)
    total.update(terms(9, 5, 6, 7, 8), 1)
    assert means(total.sums(torch.device("cpu"))) == dict(zip(NAMES, (2.0, 3.0, 4.0, 5.0), strict=True))
    assert means(total.sums(torch.device("cpu"))) == {}, "reading starts anew"


def test_undefined_terms_are_left_out_and_diverged_ones_are_not() -> None:
    total = TermMeans()
    total.update(terms(9, 1, 2, 3, 4), 4)
    total.update(terms(9, 3, 4, math.nan, math.nan), 4)
    assert means(total.sums(torch.device("cpu"))) == dict(zip(NAMES, (2.0, 3.0, 3.0, 4.0), strict=True))
    total.update(terms(9, 1, 2, 3, 4), 4)
    total.update(terms(*[math.nan] * 5), 4)
    assert all(math.isnan(value) for value in means(total.sums(torch.device("cpu"))).values())
