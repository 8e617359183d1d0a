"""Many heads at once: each as it would be alone, whatever it is trained beside."""

from __future__ import annotations

import functools
import inspect
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from noisymodel import LinearProbe, MLPProbe, NMTune, SweepResult, fit, sweep
from noisymodel.heads import Head

D, K = 8, 4
KINDS = {"nmtune": NMTune, "mlp": MLPProbe, "linear": LinearProbe}
RATES = ("learning_rate", "weight_decay", "warmup")
GRID: list[dict[str, Any]] = [
    {},
    {"consistency_weight": 3.0, "covariance_weight": 0.5, "label_smoothing": 0.1, "learning_rate": 3e-3},
    {"dominant_weight": 0.0, "weight_decay": 0.1, "warmup": 1},
    {"consistency_weight": 0.0, "covariance_weight": 0.0, "dominant_weight": 0.0},
    {"residual": False, "reduction": "batchmean"},
    {"residual": False, "reduction": "batchmean", "consistency_weight": 0.1, "learning_rate": 1e-2},
    {"norm": "layer", "depth": 2, "hidden_features": 12},
    {"norm": "layer", "depth": 2, "hidden_features": 12, "label_smoothing": 0.3, "weight_decay": 0.0},
    {"norm": None, "top_k": 3},
    {"norm": "batch", "depth": 2, "top_k": 3, "classifier_init": "kaiming"},
    {"dropout": 0.3},
    {"normalize": None, "input_noise": 0.5, "residual": True},
    {"method": "mlp", "label_smoothing": 0.2},
    {"method": "mlp", "dropout": 0.2, "depth": 2},
    {"method": "linear", "learning_rate": 1e-2},
    {"method": "linear", "weight_decay": 0.5, "label_smoothing": 0.1},
]


def blobs(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    means = torch.randn(K, D, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    targets = torch.arange(count) % K
    noise = torch.randn(count, D, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return means[targets] + noise, targets


TRAIN, HELD_OUT = blobs(103, 1), blobs(60, 2)
run = functools.partial(sweep, D, K, validation=HELD_OUT, epochs=3, batch_size=20, dtype=torch.float64)


def alone(configuration: dict[str, Any], seed: int, **options: Any) -> tuple[Head, dict[str, float]]:
    """The head that `fit` makes of a configuration, and its last epoch."""
    rates = {name: configuration[name] for name in RATES if name in configuration}
    settings = {name: value for name, value in configuration.items() if name not in (*RATES, "method")}
    kind = KINDS[configuration.get("method", "nmtune")]
    head = kind(D, K, generator=torch.Generator().manual_seed(seed), **settings).double()
    keywords = {"validation": HELD_OUT, "epochs": 3, "batch_size": 20, "seed": seed, **rates, **options}
    result = fit(head, *TRAIN, **keywords)
    return result.head, result.history[-1]


def measured(row: dict[str, Any]) -> dict[str, float]:
    return {name: value for name, value in row.items() if name.startswith(("train_", "validation_"))}


@pytest.fixture(scope="module")
def both_seeds() -> SweepResult:
    return run(GRID, *TRAIN, seeds=(3, 0))


@pytest.mark.parametrize("index", range(len(GRID)), ids=lambda i: str(GRID[i])[:60])
@pytest.mark.parametrize("place", [0, 1])
def test_each_head_is_what_fit_makes_of_it_alone(both_seeds: SweepResult, index: int, place: int) -> None:
    row = both_seeds.table[2 * index + place]
    assert (row["configuration"], row["seed"]) == (index, (3, 0)[place])
    assert GRID[index].items() <= row.items()
    head, last = alone(GRID[index], row["seed"])
    assert set(measured(row)) == set(measured(last))
    for name, value in measured(last).items():
        assert row[name] == pytest.approx(value, rel=1e-9, abs=1e-12), name
    with torch.no_grad():
        right = head(HELD_OUT[0]).argmax(1) == HELD_OUT[1]
    np.testing.assert_array_equal(both_seeds.correct[2 * index + place], right.numpy())


def test_the_result_unpacks_as_the_contract_says(both_seeds: SweepResult) -> None:
    table, best, head = both_seeds
    assert (table, best, head) == (both_seeds.table, both_seeds.best, both_seeds.head)
    assert both_seeds.correct.shape[0] == len(table)


def test_the_best_is_by_mean_accuracy_and_the_head_is_its_own(both_seeds: SweepResult) -> None:
    rows = both_seeds.table

    def merit(index: int) -> tuple[float, float]:
        own = [row for row in rows if row["configuration"] == index]
        return -sum(r["validation_accuracy"] for r in own), sum(r["validation_loss"] for r in own)

    index = min(range(len(GRID)), key=merit)
    assert both_seeds.best == GRID[index]
    own = [row for row in rows if row["configuration"] == index]
    best = min(own, key=lambda row: (-row["validation_accuracy"], row["validation_loss"]))
    head, _ = alone(GRID[index], best["seed"])
    assert not both_seeds.head.training
    assert both_seeds.head.config() == head.config()
    for name, value in head.state_dict().items():
        torch.testing.assert_close(both_seeds.head.state_dict()[name], value, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("most", [1, 2, 5])
def test_pieces_give_the_same(both_seeds: SweepResult, most: int) -> None:
    pieces = run(GRID, *TRAIN, seeds=(3, 0), max_heads=most)
    for one, other in zip(pieces.table, both_seeds.table, strict=True):
        assert measured(one) == pytest.approx(measured(other), rel=1e-9, abs=1e-12)
    np.testing.assert_array_equal(pieces.correct, both_seeds.correct)


def test_it_is_deterministic() -> None:
    one, other = run(GRID[:4], *TRAIN), run(GRID[:4], *TRAIN)
    assert one.table == other.table


def test_float32_agrees_to_rounding() -> None:
    rows = (TRAIN[0].float(), TRAIN[1])
    found = run(GRID[:6], *rows, validation=(HELD_OUT[0].float(), HELD_OUT[1]), dtype=torch.float32)
    exact = run(GRID[:6], *TRAIN)
    for one, other in zip(found.table, exact.table, strict=True):
        assert one["train_total"] == pytest.approx(other["train_total"], rel=1e-3)
    assert next(found.head.parameters()).dtype == torch.float32


WEIGHTS = torch.linspace(0, 2, 103)


@pytest.mark.parametrize("options", [{"sample_weight": WEIGHTS}, {"epochs": 2}, {"batch_size": 33}], ids=list)
def test_options_are_those_of_fit(options: dict[str, Any]) -> None:
    found = run(GRID[1:3], *TRAIN, seeds=(7,), **options)
    for row, configuration in zip(found.table, GRID[1:3], strict=True):
        _, last = alone(configuration, 7, **options)
        assert row["train_total"] == pytest.approx(last["train_total"], rel=1e-9)


def test_soft_targets() -> None:
    soft = torch.nn.functional.one_hot(TRAIN[1], K).double() * 0.8 + 0.05
    rates = {"consistency_weight": 1.0}
    found = run([rates, {"method": "mlp", "label_smoothing": 0.1}], TRAIN[0], soft, seeds=(0,))
    head = MLPProbe(D, K, label_smoothing=0.1, generator=torch.Generator().manual_seed(0)).double()
    last = fit(head, TRAIN[0], soft, epochs=3, batch_size=20, seed=0).history[-1]
    assert found.table[1]["train_total"] == pytest.approx(last["train_total"], rel=1e-9)


def test_arrays_on_disk(tmp_path: Path) -> None:
    stored = np.memmap(tmp_path / "rows", dtype=np.float64, mode="w+", shape=(103, D))
    stored[:] = TRAIN[0].numpy()
    found, expected = run(GRID[:2], stored, TRAIN[1].numpy()), run(GRID[:2], *TRAIN)
    assert [row["train_total"] for row in found.table] == [row["train_total"] for row in expected.table]


def test_a_head_that_diverges_is_nan_and_spoils_no_other() -> None:
    wild = {"learning_rate": 1e300}
    found = run([wild, *GRID[:2]], *TRAIN)
    assert math.isnan(found.table[0]["validation_accuracy"])
    assert math.isnan(found.table[0]["train_total"])
    expected = run(GRID[:2], *TRAIN)
    for one, other in zip(found.table[1:], expected.table, strict=True):
        assert one["validation_loss"] == pytest.approx(other["validation_loss"], rel=1e-9)
    assert found.best in GRID[:2]
    with pytest.raises(ValueError, match="every configuration has a training loss that is not finite"):
        run([wild], *TRAIN)


def test_a_sweep_that_was_killed_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules["noisymodel.sweeping.sweep"]
    original, calls = module.train_together, []

    def dies(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(module, "train_together", dies)
    file = tmp_path / "sweep"
    with pytest.raises(KeyboardInterrupt):
        run(GRID[:8], *TRAIN, max_heads=2, checkpoint=file)
    resumed = run(GRID[:8], *TRAIN, max_heads=2, checkpoint=file)
    monkeypatch.setattr(module, "train_together", original)
    whole = run(GRID[:8], *TRAIN, max_heads=2)
    assert resumed.table == whole.table
    assert resumed.best == whole.best
    np.testing.assert_array_equal(resumed.correct, whole.correct)
    with pytest.raises(ValueError, match="other arguments"):
        run(GRID[:3], *TRAIN, max_heads=2, checkpoint=file)


def test_progress_is_shown_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    run(GRID[:1], *TRAIN)
    assert capsys.readouterr().err == ""
    run(GRID[:1], *TRAIN, progress=True)
    assert "step" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ([], "`grid`"),
        ("abc", "`grid`"),
        ([{}, 3], r"grid\[1\]"),
        ([{}, {"covariance": 1.0}], r"grid\[1\].*covariance"),
        ([{"method": "svm"}], r"grid\[0\].*`method` must be one of"),
        ([{"method": "linear", "depth": 2}], r"grid\[0\].*depth"),
        ([{}, {}, {"consistency_weight": -1}], r"grid\[2\].*`consistency_weight` must be in \[0, inf\), got -1"),
        ([{"learning_rate": 0}], r"grid\[0\].*`learning_rate`"),
        ([{"gather": True}], r"grid\[0\].*gather"),
        ([{"top_k": 21}], r"grid\[0\]"),
    ],
)
def test_a_bad_grid_is_named(grid: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        run(grid, *TRAIN)


def test_bad_rows_and_seeds() -> None:
    with pytest.raises(ValueError, match=r"`targets` must be class ids in \[0, 4\)"):
        run([{}], TRAIN[0], TRAIN[1] + 1)
    with pytest.raises(TypeError, match="`validation` must be a pair"):
        run([{}], *TRAIN, validation=HELD_OUT[0])
    for seeds in ((), (1, 1), (-1,)):
        with pytest.raises(ValueError, match="seeds"):
            run([{}], *TRAIN, seeds=seeds)


def test_every_argument_of_the_heads_may_stand_in_a_grid() -> None:
    given = {name for configuration in GRID for name in configuration}
    known = set(inspect.signature(NMTune).parameters) - {"in_features", "num_classes", "gather", "generator"}
    assert known | {*RATES, "method"} == given
