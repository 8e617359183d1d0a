"""``noisymodel study export``: what it prints and what it refuses, on one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from noisymodel.cli import main
from noisymodel.study import StudyConfig, verify_exported
from noisymodel.study.execution import Shard
from noisymodel.study.runner import run_shard
from study import tiny


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One shard of two: the networks of seed 1 alone."""
    path = tmp_path_factory.mktemp("cli") / "a study"
    assert run_shard(StudyConfig.from_mapping(tiny.DIGITS), path, Shard(0, 2), workers=1) == []
    return path


def test_export(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", "export", str(folder), "--to", str(tmp_path / "zoo"), "--licence", "cc0-1.0"]) == 0
    printed = capsys.readouterr()
    assert "2 networks, each with a card" in printed.out
    assert f"Networks: {tmp_path / 'zoo'}\nOverview: {tmp_path / 'zoo' / 'README.md'}\n" in printed.out
    assert printed.err == "Left out, not pre-trained yet: supervised mlp, symmetric noise, seed 2\n"
    assert "license: cc0-1.0" in (tmp_path / "zoo" / "supervised-mlp-symmetric-0.3-seed1" / "README.md").read_text()
    assert verify_exported(tmp_path / "zoo")["study"] == json.loads((folder / "config.json").read_text())


def test_cache_elsewhere(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "config.json").write_bytes((folder / "config.json").read_bytes())
    arguments = ["study", "export", str(tmp_path / "study"), "--to", str(tmp_path / "zoo")]
    assert main(arguments) == 2
    assert main([*arguments, "--cache", str(folder / "cache")]) == 0


def test_refusals_are_one_line(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, message in (
        (["nowhere", "--to", str(tmp_path / "zoo")], "there is no file nowhere"),
        ([str(folder), "--to", str(folder)], "is not empty; choose a new folder"),
    ):
        assert main(["study", "export", *arguments]) == 2
        printed = capsys.readouterr()
        assert message in printed.err
        assert printed.err.startswith("noisymodel: ")
        assert printed.err.count("\n") == 1
        assert printed.out == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["export", "x"], "the following arguments are required: --to"),
        (["export", "--to", "x"], "the following arguments are required: DIR"),
        (["exprot"], "invalid choice: 'exprot'"),
    ],
)
def test_bad_arguments(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["study", *arguments])
    assert stopped.value.code == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1
