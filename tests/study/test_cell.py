"""One cell of a study: what it keeps, that it measures what it says, and that a failure costs its part."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from noisymodel import spectrum, study
from noisymodel.errors import StudyError, StudyWarning
from noisymodel.study import plan
from noisymodel.study.cell import Cell
from noisymodel.study.collect import Collected, collect
from noisymodel.study.part_cache import PartCache
from noisymodel.study.pretraining.corruption import noisy_labels
from noisymodel.study.rows import CurveRow, Row
from study import tiny

SEED = {"seeds": [1]}


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory) -> Cell:
    cell = Cell(plan(tiny.glyphs(**SEED)), tiny.cell_name(1), PartCache(tmp_path_factory.mktemp("cache")))
    looked: list[int] = []
    assert cell.compute(lambda: looked.append(len(cell.plan.missing(cell.name, cell.cache)))) == []
    assert looked == [3, 2, 1, 0]
    return cell


def collected(cell: Cell, **changes: object) -> Collected:
    return collect(plan(tiny.glyphs(**SEED, **changes)), cell.cache)


def test_overrides_reach_the_pretraining(tmp_path: Path) -> None:
    settings = {**tiny.GLYPHS["pretraining"], "overrides": {"mlp": {"epochs": 3}, "vit": {"epochs": 4}}}
    cell = Cell(plan(tiny.glyphs(**SEED, pretraining=settings)), tiny.cell_name(1), PartCache(tmp_path))
    assert cell.request.config.epochs == 3


def test_rows_are_complete(cell: Cell) -> None:
    found = collected(cell)
    assert found.gaps == []
    keys = [(row.noise_rate, row.method, row.shift, row.metric) for row in found.table]
    assert len(set(keys)) == len(keys)
    expected = 2 * (2 + 3 * 5 + 3 * 6 + (3 * 6 + 3))  # per rate: network, features on three tests, probe, NMTune, its Z
    assert len(found.table) == expected
    assert {row.seed for row in found.table} == {1}
    assert {(row.split, row.shift) for row in found.table} == {("id", "none"), ("ood", "small"), ("ood", "salt")}
    assert {row.architecture for row in found.table} == {"mlp-256-32-16"}
    assert {row.shots for row in found.table if row.metric == "accuracy"} == {4}
    bounded = [row.value for row in found.table if row.metric in ("accuracy", "macro_f1", "calibration_error")]
    assert all(0 <= value <= 1 for value in bounded)


def value(rows: list[Row], **wanted: object) -> float:
    (found,) = [row.value for row in rows if all(getattr(row, key) == want for key, want in wanted.items())]
    return found


def test_numbers_are_those_of_the_networks(cell: Cell) -> None:
    found = collected(cell)
    pictures, check = cell.source.pretraining(), cell.source.pretraining_check()
    test = cell.tasks["fine"].shifted("salt")
    for index, rate in enumerate((0.0, 0.3)):
        given = noisy_labels(cell.request, rate)
        network = cell.pretrained().one(index)
        reproduced = network(torch.from_numpy(pictures.inputs)).argmax(1).numpy() == given
        correct = network(torch.from_numpy(check.inputs)).argmax(1).numpy() == check.labels
        assert value(found.table, noise_rate=rate, metric="noisy_label_fit") == np.mean(reproduced)
        assert value(found.table, noise_rate=rate, metric="clean_accuracy") == np.mean(correct)
        analysis = spectrum.analyze(network.features(torch.from_numpy(test.inputs)))
        salted = value(found.table, noise_rate=rate, method="features", shift="salt", metric="singular_value_entropy")
        assert salted == analysis.entropy
        kept = found.spectra[f"rate={rate:g}/seed=1/salt"]
        assert kept.tolist() == np.asarray(analysis.singular_values).tolist()


def never(*_: object, **__: object) -> None:
    raise AssertionError("computed again")


def test_what_is_there_is_not_computed_again(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("noisymodel.study.cell.pretrain", never)
    other = Cell(plan(tiny.glyphs(**SEED, methods=["linear_probe", "mlp"], shots=3)), cell.name, cell.cache)
    assert other.compute() == []
    monkeypatch.setattr("noisymodel.study.methods.base.fit", never)
    again = Cell(plan(tiny.glyphs(**SEED)), cell.name, PartCache(cell.cache.folder))
    assert again.compute() == []


def test_stored_networks_are_the_trained_ones_to_the_bit(cell: Cell) -> None:
    loaded = Cell(plan(tiny.glyphs(**SEED)), cell.name, PartCache(cell.cache.folder)).pretrained()
    for state, kept in zip(cell.pretrained().states, loaded.states, strict=True):
        assert set(state) == set(kept)
        assert all(torch.equal(state[name], kept[name]) for name in state)


def test_names_are_given_when_results_are_collected(cell: Cell, tmp_path: Path) -> None:
    """One cache, in any order: rows are those of a fresh run."""
    for tasks in (["fine", "coarse"], ["coarse", "fine"], ["coarse"]):
        changed = tiny.glyphs(**SEED, tasks=tasks, methods=["linear_probe"])
        caches = (cell.cache.folder, tmp_path / tasks[0])
        shared, fresh = (study.run(changed, cache=cache, workers=1) for cache in caches)
        assert shared.table == fresh.table, tasks
        assert shared.spectra.keys() == fresh.spectra.keys()
    options = {"methods": ["mlp", "mlp_tuned"], "method_options": {"mlp": {"learning_rate": 0.003}}}
    both = study.run(tiny.glyphs(**SEED, **options), cache=cell.cache.folder, workers=1)
    accuracies = {name: [row["value"] for row in both.table if row["method"] == name and row["metric"] == "accuracy"]
                  for name in options["methods"]}  # fmt: skip
    assert len(accuracies["mlp"]) == 6
    assert accuracies["mlp"] == accuracies["mlp_tuned"]


def test_spectra_of_tasks_whose_names_end_alike(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for name, rows in (("pre", 40), ("digit", 12), ("other_digit", 10)):
        arrays = {"images": generator.random((rows, 6, 6)).astype(np.float32), "labels": np.arange(rows) % 2}
        np.savez(tmp_path / f"{name}.npz", **arrays, classes=np.array(["a", "b"]))
    pre = {"path": "pre.npz"}
    tasks = [{"name": name, "train": {"path": f"{name}.npz"}, "test": {"path": f"{name}.npz"}}
             for name in ("other_digit", "digit")]  # fmt: skip
    suite = {"root": str(tmp_path), "pictures": {"size": 6, "channels": 1}, "pretraining": pre,
             "pretraining_check": pre, "tasks": tasks}  # fmt: skip
    small = {"shots": 2, "methods": ["linear_probe"], "noise_rates": [0, 0.3], "tuning": {"epochs": 1}}
    small |= {"pretraining": {"epochs": 1, "widths": [8]}, "seeds": [1, 2]}
    spectra = study.run({"data": "suite", "suite": suite, **small}, workers=1).spectra
    assert len(spectra) == 2 * 2 * 2
    assert not np.array_equal(*(spectra[f"suite/{task}/supervised/mlp-36-8/symmetric/rate=0/seed=1/id"]
                                for task in ("digit", "other_digit")))  # fmt: skip


@pytest.fixture
def _broken_mlp(monkeypatch: pytest.MonkeyPatch) -> None:
    """At seed 2 training fails of whatever is no linear probe."""
    from noisymodel.study.methods import base

    fit = base.fit

    def broken(head: torch.nn.Module, *arguments: object, seed: int, **keywords: object) -> object:
        if seed == 2 and len(list(head.parameters())) > 2:
            raise RuntimeError("out of\npaper")
        return fit(head, *arguments, seed=seed, **keywords)

    monkeypatch.setattr(base, "fit", broken)


def summary(out: Path) -> list[dict[str, str]]:
    with (out / "summary.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.usefixtures("_broken_mlp")
def test_a_failure_costs_its_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("noisymodel.study.report.files.study_figures", lambda _: [])
    config, out = tiny.digits(seeds=[1, 2, 3], methods=["linear_probe", "mlp", "mlp_tuned"]), tmp_path / "out"
    with pytest.warns(StudyWarning, match=r"2 parts failed and are gaps.*seed 2, mlp: RuntimeError: out of paper"):
        result = study.run(config, out, workers=1)
    assert {row["seed"] for row in result.table if row["method"] == "linear_probe"} == {1, 2, 3}
    assert {row["seed"] for row in result.table if row["method"] == "mlp"} == {1, 3}
    means = {(row["method"], row["seeds"]) for row in summary(out) if row["baseline"] == ""}
    assert ("linear_probe", "3") in means
    assert not [row for row in summary(out) if "mlp" in row["method"]], "gaps, not means over other seeds"
    failed = json.loads((out / "failures.json").read_text())
    assert [(one["seed"], one["part"]) for one in failed] == [(2, "mlp"), (2, "mlp_tuned")]
    assert "Traceback" in failed[0]["details"]
    for place in ("report.html", "tables.txt"):
        assert "out of paper" in (out / place).read_text(), place
    monkeypatch.undo()
    monkeypatch.setattr("noisymodel.study.report.files.study_figures", lambda _: [])
    healed = study.run(config, out, resume=True, workers=1)
    assert {row["seed"] for row in healed.table if row["method"] == "mlp"} == {1, 2, 3}
    assert not (out / "failures.json").exists()


def test_a_method_that_diverges_is_a_gap(tmp_path: Path) -> None:
    options = {"mlp": {"learning_rate": 1e30}}
    with pytest.warns(StudyWarning, match=r"parts failed.*mlp: "):
        found = study.run(tiny.digits(method_options=options), workers=1)
    assert {row["method"] for row in found.table} == {"pretraining", "features", "linear_probe"}
    with pytest.raises(StudyError, match=r"every method failed, the first with: .*mlp: "):
        study.run(tiny.digits(methods=["mlp"], method_options=options), workers=1)


CURVED = tiny.GLYPHS | {"seeds": [1], "methods": ["linear_probe", "nmtune_tuned", "full_fine_tuning"]}


def test_curves_are_of_every_epoch_and_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("noisymodel.study.report.files.figures_by_folder", lambda _groups: {})
    out = tmp_path / "out"
    plain = study.run(CURVED, out, cache=tmp_path / "cache", workers=1)
    assert not (out / "curves.csv").exists()
    curved = study.run(CURVED | {"learning_curves": True}, out, cache=tmp_path / "cache", workers=1, force=True)
    assert plain.table == curved.table
    with (out / "curves.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == CurveRow._fields == (*Row._fields, "epoch")
    assert {row["epoch"] for row in rows} == {"1", "2"}
    accuracies = [row for row in curved.table if row["metric"] == "accuracy"]
    last = {
        (row["method"], float(row["noise_rate"]), row["shift"]): float(row["value"])
        for row in rows
        if row["metric"] == "accuracy" and row["epoch"] == "2"
    }
    assert last == {(row["method"], row["noise_rate"], row["shift"]): row["value"] for row in accuracies}
    losses = [row for row in rows if row["metric"] == "training_loss"]
    assert len(losses) == 3 * 2 * 2
    assert len(rows) == len(losses) + 2 * len(accuracies)
    study.run(CURVED, out, cache=tmp_path / "cache", workers=1, force=True)
    assert not (out / "curves.csv").exists(), "the other study's"
