"""``noisymodel noise``: files in, files and an audit out; the audit checked; one line for whatever is wrong."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from noisymodel import noise
from noisymodel.cli import main


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "labels.csv"
    path.write_text("label,caption,image\n" + "".join(f"{i % 10},text {i},{i // 2}\n" for i in range(200)))
    return path


def column(path: Path, place: int = 0) -> list[str]:
    return [line.split(",")[place] for line in path.read_text().splitlines()[1:]]


@pytest.mark.parametrize(
    ("arguments", "call"),
    [
        (["--kind", "symmetric", "--rate", "0.4", "--selection", "exact_per_class", "--include-true"],
         lambda y: noise.symmetric(y, 0.4, num_classes=10, selection="exact_per_class", include_true=True, seed=7)),
        (["--kind", "pair_flip", "--rate", "0.4", "--num-classes", "12"],
         lambda y: noise.pair_flip(y, 0.4, num_classes=12, seed=7)),
        (["--kind", "asymmetric", "--rate", "0.5", "--mapping", "cifar10"],
         lambda y: noise.asymmetric(y, 0.5, mapping="cifar10", seed=7)),
        (["--kind", "asymmetric", "--rate", "0.5", "--mapping", "0:1,2:3"],
         lambda y: noise.asymmetric(y, 0.5, mapping={0: 1, 2: 3}, num_classes=10, seed=7)),
    ],
)  # fmt: skip
def test_arguments_are_the_injectors(
    labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], call
) -> None:
    out = tmp_path / "out"
    assert main(["noise", str(labels), "--out", str(out), "--seed", "7", *arguments]) == 0
    wanted = call([i % 10 for i in range(200)])
    assert column(out / "labels.csv") == [str(label) for label in np.asarray(wanted.labels)]
    printed = capsys.readouterr().out
    wrong = int(np.asarray(wanted.flipped).sum())
    assert f"{wrong} of 200 labels are wrong now" in printed
    assert f"Results: {out / 'labels.csv'}\nAudit:   {out / 'audit.json'}" in printed
    assert main(["noise", "--verify", str(out / "audit.json")]) == 0
    assert f"{out / 'audit.json'} holds: {wrong} of 200" in capsys.readouterr().out


@pytest.mark.parametrize("suffix", [".npy", ".csv"])
def test_matrices(labels: Path, tmp_path: Path, suffix: str) -> None:
    matrix = noise.pair_transition(10, 0.3)
    file = tmp_path / f"matrix{suffix}"
    if suffix == ".npy":
        np.save(file, np.asarray(matrix).T)
    else:
        np.savetxt(file, np.asarray(matrix).T, delimiter=",")
    arguments = ["--kind", "from_transition", "--matrix", str(file), "--convention", "column", "--seed", "1"]
    assert main(["noise", str(labels), "--out", str(tmp_path / "out"), *arguments]) == 0
    wanted = noise.from_transition([i % 10 for i in range(200)], matrix, seed=1)
    assert column(tmp_path / "out" / "labels.csv") == [str(label) for label in np.asarray(wanted.labels)]
    assert main(["noise", "--verify", str(tmp_path / "out" / "audit.json")]) == 0


def test_captions(labels: Path, tmp_path: Path) -> None:
    arguments = ["--kind", "swap", "--rate", "0.1", "--seed", "1", "--image-column", "image", "--alike"]
    assert main(["noise", str(labels), "--out", str(tmp_path / "out"), *arguments]) == 0
    audit = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert audit["num_wrong"] == 20
    assert (audit["image_column"], audit["alike"], audit["noise"]["mode"]) == ("image", True, "swap")
    moved = tmp_path / "moved"
    moved.mkdir()
    labels.rename(moved / labels.name)
    assert main(["noise", "--verify", str(tmp_path / "out" / "audit.json"), "--source", str(moved / labels.name)]) == 0


def test_bad_input(labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path / "out")]
    common = [str(labels), *out, "--seed", "0"]
    (tmp_path / "m.csv").write_text("1,x\n")
    os.mkfifo(tmp_path / "pipe.csv")
    np.save(tmp_path / "bomb.npy", np.eye(3))
    bomb = (tmp_path / "bomb.npy").read_bytes().replace(b"(3, 3), }            ", b"(3000000, 3000000), }"[:21])
    (tmp_path / "bomb.npy").write_bytes(bomb)
    for arguments, told in [
        ([*out, "--seed", "0", "--kind", "symmetric", "--rate", "0.1"], "INPUT is missing"),
        ([str(labels), "--seed", "0", "--kind", "symmetric", "--rate", "0.1"], "--out is missing"),
        ([str(labels), *out, "--kind", "symmetric", "--rate", "0.1"], "--seed is missing"),
        ([*common, "--rate", "0.1"], "--kind is missing"),
        ([*common, "--kind", "symmetric"], "--rate is missing"),
        ([*common, "--kind", "symmetric", "--rate", "2"], "--rate"),
        ([*common, "--kind", "symmetric", "--rate", "0.1", "--image-column", "image"], "--image-column is not for"),
        ([*common, "--kind", "swap", "--rate", "0.1", "--mapping", "cifar10"], "--mapping is not for --kind swap"),
        ([*common, "--kind", "symmetric", "--rate", "0.1", "--mapping", "cifar10"], "`mapping` is no option"),
        ([*common, "--kind", "asymmetric", "--rate", "0.1"], "`mapping` must be given"),
        ([*common, "--kind", "asymmetric", "--rate", "0.1", "--mapping", "a:b"], "must be of the file's classes"),
        ([*common, "--kind", "asymmetric", "--rate", "0.1", "--mapping", "1:,2:3"], "--mapping must be a name"),
        ([*common, "--kind", "from_transition", "--matrix", str(tmp_path / "bomb.npy")], "is cut off"),
        ([*common, "--kind", "from_transition", "--matrix", str(tmp_path / "pipe.csv")], "is a pipe or a device"),
        ([*common, "--kind", "from_transition", "--matrix", str(tmp_path / "m.csv")], "cannot be read as a matrix"),
        ([*common, "--kind", "symmetric", "--rate", "0.1", "--column", "kind"], "no column 'kind'"),
        (["--verify", str(tmp_path / "none.json")], "there is no file"),
        (["--verify", str(tmp_path / "m.csv")], "is no audit"),
    ]:
        try:
            code = main(["noise", *arguments])
        except SystemExit as exit_:
            code = exit_.code
        shown = capsys.readouterr().err.strip().splitlines()
        assert code == 2, shown
        assert told in shown[-1], shown
        assert not (tmp_path / "out").exists()
