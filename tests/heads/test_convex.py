"""The convex problem against scikit-learn, its path, its folds, its temperature."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from noisymodel.heads.convex import Problem, cross_validate, fold_ids, log_loss, multinomial, temperature


def problem(count: int = 90, features: int = 5, classes: int = 3) -> tuple[torch.Tensor, np.ndarray]:
    generator = torch.Generator().manual_seed(0)
    ids = np.arange(count) % classes
    rows = torch.randn(count, features, generator=generator, dtype=torch.float64) + torch.eye(features)[ids]
    return rows, ids


def one_hot(ids: np.ndarray) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.from_numpy(ids)).double()


@pytest.mark.parametrize("weighted", [False, True])
def test_it_is_scikit_learns_solution(weighted: bool) -> None:
    rows, ids = problem()
    weights = np.random.default_rng(0).uniform(0.1, 3, len(ids)) if weighted else None
    given = Problem(rows, torch.from_numpy(ids), 3, None if weights is None else torch.from_numpy(weights))
    found = multinomial(given, 0.03)
    mass = len(ids) if weights is None else weights.sum()
    other = LogisticRegression(C=1 / (0.03 * mass), tol=1e-9, max_iter=5000).fit(rows.numpy(), ids, weights)
    ours = (rows @ found[:-1] + found[-1]).softmax(1).numpy()
    np.testing.assert_allclose(ours, other.predict_proba(rows.numpy()), atol=1e-5)


def test_soft_targets_are_the_mean_of_hard_ones() -> None:
    rows, ids = problem(30)
    other = (ids + 1) % 3
    soft = multinomial(Problem(rows, 0.5 * one_hot(ids) + 0.5 * one_hot(other), 3), 0.1)
    both = multinomial(Problem(torch.cat([rows, rows]), torch.from_numpy(np.concatenate([ids, other])), 3), 0.1)
    torch.testing.assert_close(soft, both, atol=1e-5, rtol=1e-5)


def test_folds_spread_every_class_and_may_leave_rows_out() -> None:
    ids = np.repeat([0, 1, 2], [50, 11, 2])
    folds = fold_ids(ids, 5, seed=0)
    assert [np.ptp(np.bincount(folds[ids == label], minlength=5)) for label in range(3)] == [0, 1, 1]
    assert np.ptp(np.bincount(folds)) <= 1
    some = fold_ids(ids, 1, seed=0, most=20)
    assert set(some) == {-1, 0}
    assert 18 <= (some == 0).sum() <= 22
    assert not np.array_equal(folds, fold_ids(ids, 5, seed=1))


def test_the_path_prefers_strong_penalties_and_ends_early() -> None:
    random = torch.Generator().manual_seed(1)
    rows, ids = torch.randn(60, 20, generator=random, dtype=torch.float64), np.arange(60) % 2
    folds = torch.from_numpy(fold_ids(ids, 3, seed=0))
    path = cross_validate(Problem(rows, torch.from_numpy(ids), 2), folds, [10.0, 1.0, 0.1, 0.01, 1e-3, 1e-4])
    best = cross_validate(
        Problem(rows, torch.from_numpy(ids), 2), folds, [10.0, 1.0, 0.1, 0.01, 1e-3, 1e-4], standard_errors=0.0
    )
    assert path.chosen <= best.chosen
    assert path.out_of_fold.shape == (len(path.penalties), 60, 2)
    informative, ids = problem()
    folds = torch.from_numpy(fold_ids(ids, 3, seed=0))
    good = cross_validate(Problem(informative, torch.from_numpy(ids), 3), folds, [1.0, 0.1])
    assert (good.out_of_fold[good.chosen].argmax(1).numpy() == ids).mean() > 0.5


def test_the_temperature_undoes_a_factor() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4000, 3, generator=generator, dtype=torch.float64)
    ids = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
    targets = torch.nn.functional.one_hot(ids).double()
    assert temperature(logits * 5, targets) == pytest.approx(0.2, rel=0.1)
    assert log_loss(0.2 * 5 * logits, targets) < log_loss(5 * logits, targets)
    certain = torch.eye(3, dtype=torch.float64) * 3
    assert np.isfinite(temperature(certain, torch.eye(3, dtype=torch.float64)))
