"""``noisymodel tune`` and ``noisymodel predict``: from features to predictions, and one line for whatever is wrong."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from noisymodel import FeatureStore, NMTuneClassifier
from noisymodel.cli import main

QUICK = ["--epochs", "2", "--batch-size", "16"]


def rows(count: int = 90, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    return (random.standard_normal((count, 4)) + 3 * np.eye(4)[labels]).astype(np.float32), labels


def store(path: Path, backbone: str = "x", *, labelled: bool = True) -> Path:
    features, labels = rows()
    with FeatureStore.create(path, num_features=4, metadata={"backbone": backbone}) as made:
        made.append(torch.from_numpy(features), labels if labelled else None, [f"row-{i}" for i in range(len(labels))])
    return path


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tune")
    store(folder / "store")
    features, labels = rows(30, seed=1)
    np.save(folder / "shift.npy", features)
    np.save(folder / "shift-labels.npy", labels)
    test = f"shift={folder / 'shift.npy'},{folder / 'shift-labels.npy'}"
    arguments = ["tune", str(folder / "store"), "--out", str(folder / "out"), "--test", test, "--seed", "4", *QUICK]
    assert main(arguments) == 0
    return folder


def test_report_has_the_method_and_its_baselines(tuned: Path) -> None:
    report = json.loads((tuned / "out" / "report.json").read_text())
    assert [(row["method"], row["data"]) for row in report["accuracies"]] == [
        (method, data) for method in ("nmtune", "linear", "kernel", "mlp") for data in ("validation", "shift")
    ]
    assert {(row["baseline"], row["data"]) for row in report["differences"]} == {
        (baseline, data) for baseline in ("linear", "kernel", "mlp") for data in ("validation", "shift")
    }
    assert report["training_rows"] == 72
    assert report["arguments"]["seed"] == 4
    classifier = NMTuneClassifier.load(tuned / "out" / "model")
    features, labels = rows(30, seed=1)
    assert report["accuracies"][1]["accuracy"] == classifier.score(features, labels)
    assert classifier.epochs == 2
    assert classifier.batch_size == 16


def test_what_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    folder = store(tmp_path / "store")
    assert main(["tune", str(folder), "--out", str(out), "--baselines", "mlp", "--method", "linear", *QUICK]) == 0
    printed = capsys.readouterr().out
    assert "72 training rows" in printed
    assert "linear − mlp, validation" in printed
    assert f"Results:    {out / 'report.json'}" in printed
    assert sorted(path.name for path in out.iterdir()) == ["model", "report.json"]


def test_labels_from_files_presets_and_auto(tmp_path: Path) -> None:
    features, labels = rows()
    np.save(tmp_path / "x.npy", features)
    names = np.array(["ant", "bee", "cat"])[labels]
    (tmp_path / "y.csv").write_text("id,kind\n" + "".join(f"{i},{name}\n" for i, name in enumerate(names)))
    given = ["--labels", str(tmp_path / "y.csv"), "--label-column", "kind", "--baselines"]
    common = ["tune", str(tmp_path / "x.npy"), "--out", str(tmp_path / "out"), *QUICK, *given]
    assert main([*common, "--preset", "paper", "--validation", "0.5"]) == 0
    classifier = NMTuneClassifier.load(tmp_path / "out" / "model")
    assert classifier.preset == "paper"
    assert classifier.classes_.tolist() == ["ant", "bee", "cat"]
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["training_rows"] == 45
    assert main([*common, "--method", "linear", "--weights", "auto", "--force", "--refit"]) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert "logistic regression" in report["explanations"]["linear"]
    assert {"log_loss", "macro_f1"} < set(report["scores"][0])
    assert report["saved"] == "trained on all rows"
    refitted = NMTuneClassifier.load(tmp_path / "out" / "model")
    again = NMTuneClassifier(**refitted.get_params()).fit(features, names)
    np.testing.assert_array_equal(refitted.predict_proba(features), again.predict_proba(features))


def layer_stores(folder: Path, shift: float = 0.0) -> Path:
    """A folder with a store for each of three layers, of which `block.1` alone knows the classes well."""
    random = np.random.default_rng(int(shift) + 3)
    labels = np.arange(90) % 3
    for layer, width, signal in [("block.0", 5, 0.0), ("block.1", 4, 4.0), ("head/input", 6, 0.8)]:
        features = random.standard_normal((90, width)) + shift
        features[:, :3] += signal * np.eye(3)[labels]
        with FeatureStore.create(folder / layer, num_features=width, metadata={"layer": layer}) as made:
            made.append(torch.from_numpy(features.astype(np.float32)), labels)
    return folder


def test_several_layers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stores, shifted = layer_stores(tmp_path / "stores"), layer_stores(tmp_path / "shifted", 1.0)
    out, quick = tmp_path / "out", ["--method", "linear", "--baselines"]
    assert main(["tune", str(stores), "--test", f"far={shifted}", "--out", str(out), *quick]) == 0
    printed = capsys.readouterr().out
    assert "Chosen by validation alone: block.1" in printed
    report = json.loads((out / "report.json").read_text())
    assert report["chosen_layer"] == "block.1"
    by_layer = {record["layer"]: record for record in report["layers"]}
    assert {name: one["num_features"] for name, one in by_layer.items()} == {
        "block.0": 5, "block.1": 4, "head/input": 6,
    }  # fmt: skip
    best = max(record["validation"]["accuracy"] for record in report["layers"])
    assert by_layer["block.1"]["validation"]["accuracy"] == best
    assert all(record["tests"]["far"]["rows"] == 90 for record in report["layers"])
    found = {row["data"]: row["accuracy"] for row in report["accuracies"]}
    taken = by_layer["block.1"]
    assert found == {"validation": taken["validation"]["accuracy"], "far": taken["tests"]["far"]["accuracy"]}
    assert NMTuneClassifier.load(out / "model").n_features_in_ == 4

    each = [f"a={stores / 'block.0'}", f"b={stores / 'block.1'}"]
    tests = [f"far/{name}={shifted / layer}" for name, layer in (("a", "block.0"), ("b", "block.1"))]
    other = tmp_path / "other"
    assert main(["tune", *each, "--test", tests[0], "--test", tests[1], "--out", str(other), *quick]) == 0
    report = json.loads((other / "report.json").read_text())
    assert report["chosen_layer"] == "b"
    assert [record["tests"] for record in report["layers"]] == [
        by_layer[layer]["tests"] for layer in ("block.0", "block.1")
    ]
    capsys.readouterr()
    wrong = ["--out", str(tmp_path / "wrong")]
    assert "no features of the layer 'b'" in complaint(["tune", *each, "--test", tests[0], *wrong], capsys)
    np.save(tmp_path / "y.npy", np.arange(60) % 3)
    np.save(tmp_path / "x.npy", np.ones((60, 4), dtype=np.float32))
    short = [str(tmp_path / "x.npy"), "--labels", str(tmp_path / "y.npy")]
    assert "has 60 labels" in complaint(["tune", each[0], *short, *wrong], capsys)


def test_predictions(
    tuned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("noisymodel.cli.predict._ROWS", 40)
    model, out = str(tuned / "out" / "model"), tmp_path / "predicted.csv"
    assert main(["predict", model, str(tuned / "store"), "--out", str(out), "--probabilities"]) == 0
    assert f"90 rows\nResults: {out}" in capsys.readouterr().out
    with out.open() as file:
        found = list(csv.DictReader(file))
    classifier = NMTuneClassifier.load(model)
    features, _ = rows()
    wanted = classifier.predict_proba(features)
    assert [row["id"] for row in found] == [f"row-{index}" for index in range(90)]
    assert [int(row["label"]) for row in found] == classifier.predict(features).tolist()
    assert [int(row["row"]) for row in found] == list(range(90))
    np.testing.assert_allclose([[float(row[f"p({k})"]) for k in range(3)] for row in found], wanted, atol=1e-5)
    np.testing.assert_allclose([float(row["probability"]) for row in found], wanted.max(1), atol=1e-5)
    assert main(["predict", model, str(tuned / "shift.npy"), "--out", str(out), "--force"]) == 0
    assert out.read_text().startswith("row,label,probability\n0,")


def complaint(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What is said on stderr, one line, with exit code 2."""
    try:
        code = main(arguments)
    except SystemExit as exit_:
        code = exit_.code
    shown = capsys.readouterr().err
    assert code == 2, shown
    assert len(shown.splitlines()) == 1, shown
    return shown


def test_bad_input_of_tune(tuned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    features, labels = rows()
    x, out = str(tmp_path / "x.npy"), ["--out", str(tmp_path / "out"), *QUICK]
    np.save(x, features)
    bare = store(tmp_path / "bare", labelled=False)
    other = store(tmp_path / "other", "y")
    (tmp_path / "short.txt").write_text("1\n2\n")
    (tmp_path / "new.txt").write_text("9\n" * 90)
    (tmp_path / "one.txt").write_text("9\n" * 90)
    np.save(tmp_path / "nan.npy", np.full((90, 4), np.nan, dtype=np.float32))
    np.save(tmp_path / "wide.npy", np.zeros((90, 5), dtype=np.float32))
    np.save(tmp_path / "y.npy", labels)
    y = str(tmp_path / "y.npy")
    for arguments, told in [
        ([x], "x.npy has no labels: give --labels FILE"),
        ([str(bare)], "bare has no labels"),
        ([x, "--labels", str(tmp_path / "short.txt")], "short.txt has 2 labels"),
        ([x, "--labels", str(tmp_path / "one.txt")], "at least 2 classes"),
        ([str(tmp_path / "nan.npy"), "--labels", y], "NaN"),
        ([str(tmp_path / "nothing"), "--labels", y], "nothing"),
        ([x, "--labels", y, "--test", "shift"], "--test must be NAME=FEATURES"),
        ([x, "--labels", y, "--test", f"s={x},{tmp_path / 'new.txt'}"], "labels that the training rows do not have"),
        ([x, "--labels", y, "--test", f"s={tmp_path / 'wide.npy'},{y}"], "has shape (90, 5), expected (N, 4)"),
        ([str(tuned / "store"), "--test", f"s={other}"], "another backbone"),
        ([x, "--labels", y, "--preset", "paper", "--method", "mlp"], "`preset` is for"),
        ([x, "--labels", y, "--validation", "1"], "between 0 and 1"),
        ([x, "--labels", y, "--seed", "-1"], "--seed"),
        ([x, "--labels", y, "--method", "svm"], "--method"),
    ]:
        assert told in complaint(["tune", *arguments, *out], capsys), told
        assert not (tmp_path / "out").exists()
    line = complaint(["tune", str(tuned / "store"), "--out", str(tuned / "out"), *QUICK], capsys)
    assert "exists: name another --out, or replace it with --force" in line


def test_bad_input_of_predict(tuned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, out = str(tuned / "out" / "model"), ["--out", str(tmp_path / "p.csv")]
    np.save(tmp_path / "wide.npy", np.zeros((9, 5), dtype=np.float32))
    for arguments, told in [
        ([str(tmp_path), str(tuned / "store")], "holds no saved classifier"),
        ([model, str(store(tmp_path / "other", "y"))], "another backbone"),
        ([model, str(tmp_path / "wide.npy")], "5 features"),
        ([model, str(tmp_path / "none.npy")], "there is no file"),
    ]:
        assert told in complaint(["predict", *arguments, *out], capsys), told
        assert not (tmp_path / "p.csv").exists()
    (tmp_path / "p.csv").write_text("mine")
    line = complaint(["predict", model, str(tuned / "store"), *out], capsys)
    assert "exists: name another --out" in line
    assert (tmp_path / "p.csv").read_text() == "mine"
