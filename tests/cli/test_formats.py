"""One set of formats: every command reads features and labels in each, and finds the same in all."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
import torch
from pyarrow import parquet
from safetensors.numpy import save_file

from noisymodel import FeatureStore, NMTuneClassifier
from noisymodel.cli import main
from noisymodel.features import Backbone
from noisymodel.features.opening import read_labels

COUNT, WIDTH, CLASSES = 90, 4, ("ant", "bee", "cat")
LABELS = np.arange(COUNT) % 3
NAMES = np.array(CLASSES)[LABELS]
FEATURES = (np.random.default_rng(0).standard_normal((COUNT, WIDTH)) + 3 * np.eye(WIDTH)[LABELS]).astype(np.float32)
LINEAR = ["--method", "linear", "--baselines", "--force"]


def delimited(separator: str, columns: dict[str, Any]) -> str:
    rows = zip(*columns.values(), strict=True)
    return "\n".join([separator.join(columns), *(separator.join(map(str, row)) for row in rows), ""])


def feature_files(folder: Path) -> list[Path]:
    """The same features in every format."""
    columns = {f"f{place}": [repr(float(value)) for value in FEATURES[:, place]] for place in range(WIDTH)}
    with FeatureStore.create(folder / "store", num_features=WIDTH) as store:
        store.append(torch.from_numpy(FEATURES), LABELS)
    np.save(folder / "x.npy", FEATURES)
    np.savez(folder / "x.npz", features=FEATURES, labels=LABELS)
    save_file({"features": FEATURES, "labels": LABELS}, folder / "x.safetensors")
    table = pyarrow.table({"features": list(FEATURES), "label": NAMES})
    parquet.write_table(table, folder / "x.parquet")
    (folder / "shards").mkdir()
    for name, part in (("0", table.slice(0, 50)), ("1", table.slice(50))):
        parquet.write_table(part, folder / "shards" / f"{name}.parquet")
    (folder / "x.csv").write_text(delimited(",", {**columns, "label": NAMES}))
    (folder / "x.tsv").write_text(delimited("\t", columns))
    names = ("x.npy", "x.npz", "x.safetensors", "x.parquet", "shards", "x.csv", "x.tsv", "store")
    return [folder / name for name in names]


def label_files(folder: Path, labels: np.ndarray) -> list[Path]:
    """The same labels in every format."""
    with FeatureStore.create(folder / "labelled", num_features=1, metadata={"classes": list(CLASSES)}) as store:
        store.append(torch.zeros(COUNT, 1), LABELS)
    np.save(folder / "y.npy", labels)
    np.savez(folder / "y.npz", label=labels)
    save_file({"label": LABELS}, folder / "y.safetensors")  # which holds numbers alone
    table = pyarrow.table({"label": labels})
    parquet.write_table(table, folder / "y.parquet")
    (folder / "label-shards").mkdir()
    for name, part in (("0", table.slice(0, 50)), ("1", table.slice(50))):
        parquet.write_table(part, folder / "label-shards" / f"{name}.parquet")
    columns = {"id": range(COUNT), "label": labels}
    (folder / "y.csv").write_text(delimited(",", columns))
    (folder / "y.tsv").write_text(delimited("\t", columns))
    (folder / "y.jsonl").write_text("".join(json.dumps({"label": str(label)}) + "\n" for label in labels))
    (folder / "y.txt").write_text("".join(f"{label}\n" for label in labels))
    names = ("y.npy", "y.npz", "y.safetensors", "y.parquet", "label-shards", "y.csv", "y.tsv", "y.jsonl", "y.txt")
    return [folder / name for name in (*names, "labelled")]


def text_files(folder: Path, texts: list[str]) -> list[Path]:
    """The same texts and labels in every format of tables."""
    columns = {"text": texts, "label": NAMES}
    (folder / "t.csv").write_text(delimited(",", columns))
    (folder / "t.tsv").write_text(delimited("\t", columns))
    lines = (json.dumps({"text": text, "label": label}) for text, label in zip(texts, NAMES.tolist(), strict=True))
    (folder / "t.jsonl").write_text("".join(f"{line}\n" for line in lines))
    parquet.write_table(pyarrow.table(columns), folder / "t.parquet")
    return [folder / name for name in ("t.csv", "t.tsv", "t.jsonl", "t.parquet")]


class Lengths(torch.nn.Module):
    """A backbone of texts, which a table of numbers stands for."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(2))

    def forward(self, lengths: torch.Tensor) -> torch.Tensor:
        return lengths[:, None] * self.scale


def tokens(texts: list[str]) -> dict[str, torch.Tensor]:
    return {"lengths": torch.tensor([float(len(text)) for text in texts])}


@pytest.mark.slow
def test_every_command_reads_every_format(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    failed: list[str] = []

    def check(what: str, arguments: list[str], result: Callable[[], object], wanted: object) -> None:
        code = main(arguments)
        told = capsys.readouterr().err.strip().splitlines()
        if code:
            failed.append(f"{what}: {told[-1] if told else code}")
        elif result() != wanted:
            failed.append(f"{what}: {result()} instead of {wanted}")

    def read(path: Path, *keys: str) -> object:
        found = json.loads(path.read_text())
        for key in keys:
            found = found[key]
        return found

    features, labels = feature_files(tmp_path), label_files(tmp_path, NAMES)
    out, y = tmp_path / "out", str(tmp_path / "y.txt")
    x = str(features[0])
    assert main(["tune", x, "--labels", y, "--test", f"again={x},{y}", "--out", str(out), *LINEAR]) == 0
    reference = json.loads((out / "report.json").read_text())["accuracies"]
    saved = NMTuneClassifier.load(out / "model")
    predictions = saved.predict(FEATURES).tolist()
    capsys.readouterr()
    tuned, predicted, analyzed, noised = (tmp_path / name for name in ("tuned", "p.csv", "analyzed", "noised"))
    for path in features:
        x = str(path)
        check(
            f"tune {path.name}",
            ["tune", x, "--labels", y, "--test", f"again={x},{y}", "--out", str(tuned), *LINEAR],
            lambda: read(tuned / "report.json", "accuracies"),
            reference,
        )
        check(
            f"predict {path.name}",
            ["predict", str(out / "model"), x, "--out", str(predicted), "--force"],
            lambda: [line.split(",")[1] for line in predicted.read_text().splitlines()[1:]],
            predictions,
        )
        check(
            f"analyze {path.name}",
            ["analyze", x, "--out", str(analyzed), "--no-figures", "--force"],
            lambda: (analyzed / "results.json").exists(),
            True,
        )
    for path in labels:
        kept = [str(number) for number in LABELS] if path.suffix == ".safetensors" else NAMES.tolist()
        check(
            f"tune --labels {path.name}",
            ["tune", str(features[0]), "--labels", str(path), "--out", str(tuned), *LINEAR],
            lambda: sorted(map(str, NMTuneClassifier.load(tuned / "model").classes_)),
            sorted(set(kept)),
        )
        check(
            f"noise {path.name}",
            [
                "noise",
                str(path),
                "--out",
                str(noised),
                "--kind",
                "symmetric",
                "--rate",
                "0.2",
                "--seed",
                "1",
                "--force",
            ],
            lambda: (read(noised / "audit.json", "num_samples"), read(noised / "audit.json", "num_wrong")),
            (COUNT, 18),
        )
    for path in features:  # a file of both
        if path.suffix in (".npz", ".safetensors", ".parquet", ".csv") or path.is_dir():
            check(
                f"tune --labels {path.name}, of features too",
                ["tune", str(path), "--labels", str(path), "--out", str(tuned), *LINEAR],
                lambda: len(NMTuneClassifier.load(tuned / "model").classes_),
                3,
            )
    texts = [f"text {row}" for row in range(COUNT)]
    backbone = Backbone(Lengths(), None, tokens, {"backbone": "lengths", "weights": "none"}, complete=True)
    backbone = Backbone(Lengths(), None, tokens, {"backbone": "lengths", "weights": "none"}, complete=True)
    monkeypatch.setattr("noisymodel.features.load_backbone", lambda *_, **__: backbone)
    for path in text_files(tmp_path, texts):
        store = tmp_path / f"extracted-{path.name}"
        check(
            f"extract {path.name}",
            ["extract", "lengths", str(path), "--out", str(store), "--device", "cpu"],
            lambda store=store: read_labels(store).values.tolist(),
            NAMES.tolist(),
        )
    assert not failed, "\n".join(failed)
