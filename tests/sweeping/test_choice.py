"""The rule that chooses weights: within one paired standard error of the best, the strongest consistency."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from noisymodel import LinearProbe, NMTune
from noisymodel.sweeping import choice as module
from noisymodel.sweeping import sweep
from noisymodel.sweeping.choice import Choice, choose, default_grid, held_out
from noisymodel.sweeping.sweep import SweepResult

K, D = 3, 6


def blobs(count: int = 90, seed: int = 0) -> tuple[torch.Tensor, np.ndarray]:
    targets = np.arange(count) % K
    means = torch.randn(K, D, generator=torch.Generator().manual_seed(5))
    noise = torch.randn(count, D, generator=torch.Generator().manual_seed(seed))
    return means[torch.from_numpy(targets)] + noise, targets


def result(correct: list[list[int]], losses: list[float] | None = None) -> SweepResult:
    right = np.array(correct, dtype=bool)
    losses = losses or [1.0] * len(right)
    table: list[dict[str, Any]] = [{"validation_loss": loss} for loss in losses]
    found = SweepResult(table, {}, LinearProbe(2, 2, generator=torch.Generator()))
    found.correct = right
    return found


def chosen(entries: list[dict[str, Any]], found: SweepResult, errors: float = 1.0) -> Choice:
    return module._chosen(entries, found, errors)


WEIGHTS = [{"consistency_weight": weight} for weight in (0.3, 1.0, 3.0)]


def test_the_strongest_consistency_within_one_standard_error_is_taken() -> None:
    best, near, far = [1] * 90 + [0] * 10, [0] + [1] * 89 + [0] * 10, [0] * 30 + [1] * 60 + [0] * 10
    choice = chosen(WEIGHTS, result([best, near, far]))
    assert choice.best == WEIGHTS[0]
    assert choice.configuration == WEIGHTS[1], "1 row of 100 behind: 0.01 <= its standard error 0.01"
    assert [row["eligible"] for row in choice.table] == [True, True, False]
    assert choice.table[1]["deficit"] == pytest.approx(0.01)
    assert choice.table[1]["standard_error"] == pytest.approx(0.01)
    assert choice.table[2]["validation_accuracy"] == pytest.approx(0.6)


def test_the_standard_error_is_that_of_paired_differences() -> None:
    """Two rows behind is far where all other rows agree, and near where many rows disagree both ways."""
    base = [1] * 50 + [0] * 50
    agreeing = [0] * 2 + base[2:]
    disagreeing = [0] * 22 + [1] * 28 + [1] * 20 + [0] * 30
    entries = WEIGHTS[:1] + WEIGHTS[2:]
    assert chosen(entries, result([base, agreeing])).configuration == entries[0]
    assert chosen(entries, result([base, disagreeing])).configuration == entries[1]


def test_more_or_fewer_standard_errors() -> None:
    found = result([[1] * 90 + [0] * 10, [0] * 4 + [1] * 86 + [0] * 10])
    entries = WEIGHTS[:2]
    expected = np.std([1] * 4 + [0] * 96, ddof=1) / 10
    assert chosen(entries, found).table[1]["standard_error"] == pytest.approx(expected)
    assert chosen(entries, found, 1.0).configuration == entries[0]
    assert chosen(entries, found, 3.0).configuration == entries[1]
    assert chosen(entries, result([[1, 1], [1, 1]]), 0.0).configuration == entries[1], "equal ones are within 0"


def test_ties_go_to_accuracy_and_then_to_the_loss() -> None:
    entries = [{"consistency_weight": 1.0, "learning_rate": rate} for rate in (1e-3, 2e-3, 3e-3)]
    right = [[1] * 9 + [0], [1] * 10, [1] * 10]
    assert chosen(entries, result(right, [0.1, 0.6, 0.5])).configuration == entries[2]


def test_entries_that_failed_are_not_taken() -> None:
    found = result([[1, 1, 1, 0], [0, 0, 0, 0], [1, 1, 1, 0]], [0.4, math.nan, 0.5])
    choice = chosen(WEIGHTS, found, 100.0)
    assert choice.configuration == WEIGHTS[2]
    assert not choice.table[1]["eligible"]


def test_without_a_consistency_weight_the_best_is_taken() -> None:
    entries = [{"method": "linear", "weight_decay": decay} for decay in (1e-4, 1e-2)]
    choice = chosen(entries, result([[1, 1, 0, 0], [1, 1, 1, 0]]), 100.0)
    assert choice.configuration == choice.best == entries[1]


@pytest.mark.parametrize("method", ["nmtune", "mlp"])
def test_default_grids_can_be_swept_and_chosen_from(method: str) -> None:
    features, targets = blobs()
    choice = choose(D, K, features, targets, grid=default_grid(method), seed=1, epochs=1)
    assert choice.configuration in default_grid(method)
    assert len(choice.table) == len(default_grid(method))
    if method == "nmtune":
        assert choose(D, K, features, targets, seed=1, epochs=1).configuration == choice.configuration


def test_the_default_grids_are_the_documented_ones() -> None:
    grid = default_grid()
    values = {
        name: {entry[name] for entry in grid} for name in ("consistency_weight", "label_smoothing", "learning_rate")
    }
    assert values == {
        "consistency_weight": {0.3, 1.0, 3.0}, "label_smoothing": {0.0, 0.1}, "learning_rate": {1e-3, 3e-3},
    }  # fmt: skip
    assert {(entry["residual"], entry["covariance_weight"]) for entry in grid} == {(False, 3.0), (True, 0.02)}
    assert {(entry["reduction"], entry["dominant_weight"]) for entry in grid} == {("batchmean", 0.1)}
    assert len({tuple(sorted(entry.items())) for entry in grid}) == 24
    assert {(entry["method"], entry["label_smoothing"], entry["learning_rate"]) for entry in default_grid("mlp")} == {
        ("mlp", smoothing, rate) for smoothing in (0.0, 0.1, 0.3) for rate in (1e-3, 3e-3)
    }


def test_one_standard_error_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    found = result([[1] * 90 + [0] * 10, [0] * 2 + [1] * 88 + [0] * 10])  # 1.4 standard errors apart
    monkeypatch.setattr(module, "sweep", lambda *_, **__: found)
    settings = {"grid": WEIGHTS[:2], "seed": 0}
    assert choose(D, K, *blobs(), **settings).configuration == WEIGHTS[0]
    assert choose(D, K, *blobs(), **settings, standard_errors=2.0).configuration == WEIGHTS[1]


def test_a_single_held_out_row_has_no_spread() -> None:
    choice = chosen(WEIGHTS[:2], result([[1], [0]]))
    assert [row["standard_error"] for row in choice.table] == [0.0, 0.0]
    assert choice.configuration == WEIGHTS[0]


def test_it_is_a_sweep_on_the_rows_that_were_kept() -> None:
    features, targets = blobs()
    weight = np.linspace(1, 2, 90)
    grid = default_grid()[:4]
    options = {"epochs": 3, "batch_size": 20}
    choice = choose(D, K, features, targets, grid=grid, fraction=0.3, seed=4, sample_weight=weight, **options)
    kept, out = held_out(targets, 0.3, 4)
    by_hand = sweep(
        D, K, grid, features[kept], targets[kept], validation=(features[out], targets[out]), seeds=(4,),
        sample_weight=weight[kept], **options,
    )  # fmt: skip
    assert [row["validation_loss"] for row in choice.table] == [row["validation_loss"] for row in by_hand.table]
    accuracies = [row["validation_accuracy"] for row in by_hand.table]
    assert [row["validation_accuracy"] for row in choice.table] == pytest.approx(accuracies)
    np.testing.assert_allclose(by_hand.correct.mean(axis=1), accuracies)


def test_which_rows_are_right_is_told_by_the_sweep() -> None:
    features, targets = blobs()
    grid = [{}, {"learning_rate": 0.1}]
    found = sweep(D, K, grid, features, targets, validation=blobs(60, 1), seeds=(0, 1), epochs=2)
    assert found.correct.shape == (4, 60)
    assert isinstance(found.head, NMTune)
    best = max(range(4), key=lambda i: (found.table[i]["validation_accuracy"], -found.table[i]["validation_loss"]))
    with torch.no_grad():
        right = found.head(blobs(60, 1)[0]).argmax(1).numpy() == blobs(60, 1)[1]
    assert any((found.correct[i] == right).all() for i in range(4))
    if found.table[best]["configuration"] == grid.index(found.best):
        np.testing.assert_array_equal(found.correct[best], right)


def test_held_out_rows_are_a_share_of_every_class() -> None:
    targets = np.repeat([0, 1, 2, 3], [10, 5, 1, 2])
    kept, out = held_out(targets, 0.2, seed=0)
    assert sorted([*kept, *out]) == list(range(18))
    assert np.bincount(targets[out], minlength=4).tolist() == [2, 1, 0, 0]
    assert np.bincount(targets[held_out(targets, 0.9, seed=0)[0]]).min() == 1, "never all rows of a class"
    assert held_out(targets, 0.2, seed=1)[1].tolist() != out.tolist()
    assert held_out(targets, 0.2, seed=0)[1].tolist() == out.tolist()


def test_bad_input() -> None:
    features, targets = blobs()
    with pytest.raises(ValueError, match=r"`fraction` must be in \(0, 1\], got 0"):
        choose(D, K, features, targets, fraction=0, seed=0)
    with pytest.raises(ValueError, match=r"`standard_errors` must be in \[0, inf\), got -1"):
        choose(D, K, features, targets, standard_errors=-1, seed=0)
    with pytest.raises(ValueError, match="must hold out at least one row of a class with two"):
        choose(D, K, features[:3], targets[:3], seed=0)
    with pytest.raises(ValueError, match="`method` must be one of 'nmtune', 'mlp', got 'knn'"):
        default_grid("knn")
