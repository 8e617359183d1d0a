"""Learning curves: of every epoch and test set, the last equal to the result, and nothing changed by looking."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from noisymodel import study
from noisymodel.study.curves import CurveRecorder
from noisymodel.study.record import CurveRow, Row
from study.tiny import GLYPHS

CONFIG = GLYPHS | {"seeds": [1], "methods": ["linear_probe", "nmtune_tuned", "full_fine_tuning"]}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[study.StudyResult, study.StudyResult, Path]:
    folder = tmp_path_factory.mktemp("curves")
    plain = study.run(CONFIG, cache=folder / "cache", workers=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("noisymodel.study.report.files.figures_by_folder", lambda _groups: {})
        curved = study.run(CONFIG | {"learning_curves": True}, folder / "out", cache=folder / "cache", workers=1)
    return plain, curved, folder / "out"


def test_looking_changes_nothing(both) -> None:
    plain, curved, _ = both
    assert plain.table == curved.table


def test_curves_csv(both) -> None:
    _, curved, folder = both
    with (folder / "curves.csv").open(newline="") as file:
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
    assert {(row["split"], row["shift"]) for row in losses} == {("id", "none")}
    assert len(rows) == len(losses) + 2 * len(accuracies)


def test_without_the_setting_there_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("noisymodel.study.report.files.figures_by_folder", lambda _groups: {})
    study.run(CONFIG | {"methods": ["linear_probe"], "noise_rates": [0]}, tmp_path / "out", workers=1)
    assert not (tmp_path / "out" / "curves.csv").exists()


def test_the_recorder_records_each_test_set() -> None:
    def row(metric: str, value: float, shift: str) -> Row:
        split = "id" if shift == "none" else "ood"
        return Row("d", "o", "a", "n", 0.1, "m", 4, split, shift, 1, metric, value)

    recorder = CurveRecorder({"none": 0.5, "salt": 0.25}, row, lambda head, test: head * test)
    recorder(1.0, {"epoch": 1, "train_total": 3.0})
    recorder(0.5, {"epoch": 2, "train_total": 2.0})
    assert [(row.epoch, row.metric, row.shift, row.value) for row in recorder.rows] == [
        (1, "training_loss", "none", 3.0), (1, "accuracy", "none", 0.5), (1, "accuracy", "salt", 0.25),
        (2, "training_loss", "none", 2.0), (2, "accuracy", "none", 0.25), (2, "accuracy", "salt", 0.125),
    ]  # fmt: skip
