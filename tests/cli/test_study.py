"""The command line: one-line errors with exit code 2, results where it says, Ctrl-C that says how to go on."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from noisymodel import __version__
from noisymodel.cli import main
from study import tiny


@pytest.fixture(autouse=True)
def _without_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports in a fraction of the time; the figures have their own tests."""
    monkeypatch.setattr("noisymodel.study.report.files.study_figures", lambda _: [])


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(tiny.DIGITS))
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    (folder / "config.json").write_text(json.dumps(tiny.DIGITS))
    out = folder / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("noisymodel.study.report.files.study_figures", lambda _: [])
        assert main(["study", "--config", str(folder / "config.json"), "--out", str(out), "--workers", "1"]) == 0
    return out


def test_study_prints_tables_and_where_its_results_lie(
    finished: Path, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "a b"
    code = main(["study", "--config", str(config), "--out", str(out), "--cache", str(finished / "cache")])
    printed = capsys.readouterr().out
    assert code == 0
    assert "linear probe" in printed
    assert "In-domain accuracy" in printed
    assert f"Results: {out}" in printed
    assert str(out / "report.html") in printed
    assert max(map(len, printed.splitlines()[:-2])) <= 100
    assert (out / "results.csv").read_bytes() == (finished / "results.csv").read_bytes()
    assert not (out / "cache").exists()


def test_finished_study_is_not_run_again(finished: Path, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (finished / "report.html").stat().st_mtime_ns
    assert main(["study", "--config", str(config), "--out", str(finished)]) == 0
    assert "finished already" in capsys.readouterr().out
    assert (finished / "report.html").stat().st_mtime_ns == before


def test_resume_alone_takes_the_study_of_the_folder(finished: Path) -> None:
    results = (finished / "results.csv").read_bytes()
    before = (finished / "report.html").stat().st_mtime_ns
    assert main(["study", "--resume", "--out", str(finished)]) == 0
    assert (finished / "results.csv").read_bytes() == results
    assert (finished / "report.html").stat().st_mtime_ns > before


def test_seeds_and_data_override_the_file(config: Path, tmp_path: Path) -> None:
    text = json.dumps({**tiny.GLYPHS, "shifts": [], "data_options": {}, "methods": ["linear_probe"]})
    config.write_text(text)
    out = tmp_path / "out"
    arguments = ["study", "--config", str(config), "--data", "digits", "--seeds", "1", "--out", str(out)]
    assert main([*arguments, "--workers", "1"]) == 0
    held = json.loads((out / "config.json").read_text())
    assert held["data"] == "digits"
    assert held["seeds"] == [1]
    assert main([*arguments[:-3], "3", "--out", str(out)]) == 2, "another study"


BAD = [
    (["study", "--config", "missing.toml"], "there is no file missing.toml"),
    (["study", "--data", "digit"], "`data`: expected one of 'glyphs', 'digits', "),
    (["study", "--config", "BAD"], "`pretraining.epochs`: expected an integer, got 'ten'"),
    (["study", "--out", "FULL"], "is not empty and holds no study"),
    (["study", "--out", "BAD"], "bad.toml is a file"),
    (["study", "--out", "BAD/out"], "bad.toml is a file"),
    (["study", "--out", "NEW", "--cache", "BAD"], "--cache needs the folder"),
    (["study", "--resume", "--out", "NEW"], "there is no file "),
    (["study", "--resume", "--out", "FULL"], "holds no study to go on with"),
    (["study", "status", "NEW"], "there is no file "),
    (["study", "--config", "CUDA", "--out", "NEW"], "`pretraining.device`: 'cuda:99', but torch has no such device"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text('[pretraining]\nepochs = "ten"\n')
    cuda = tmp_path / "cuda.toml"
    cuda.write_text('[pretraining]\ndevice = "cuda:99"\n')
    new = tmp_path / "new"
    places = {"BAD": bad, "BAD/out": bad / "out", "CUDA": cuda, "FULL": tmp_path, "NEW": new}
    assert main([str(places.get(argument, argument)) for argument in arguments]) == 2
    assert not new.exists()
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.startswith("noisymodel: ")
    assert printed.err.count("\n") == 1
    assert printed.out == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["study", "--seeds", "none"], "argument --seeds: expected a positive integer, got 'none'"),
        (["study", "--seeds", "0"], "argument --seeds: expected a positive integer, got '0'"),
        (["study", "--workers", "-1"], "argument --workers: expected a positive integer"),
        (["study", "--sedes", "3"], "unrecognized arguments: --sedes 3 (see noisymodel study --help)"),
        (["analyze", "--wrong", "f.npy"], "unrecognized arguments: --wrong (see noisymodel analyze --help)"),
        (["studdy"], "invalid choice: 'studdy'"),
        ([], "the following arguments are required: COMMAND"),
    ],
)
def test_bad_arguments_are_one_line_and_exit_code_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, text in [
        (["--version"], __version__),
        (["study", "--help"], "without arguments it runs on pictures"),
    ]:
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert stopped.value.code == 0
        assert text in " ".join(capsys.readouterr().out.split())


def test_failed_study_is_exit_code_1(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text(json.dumps({**tiny.DIGITS, "data_options": {"pretraining_images": 1797}}))
    out = tmp_path / "out"
    assert main(["study", "--config", str(config), "--out", str(out), "--workers", "1"]) == 1
    assert "every method failed" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.slow
def test_interrupt_stops_cleanly_says_how_to_resume_and_the_rest_is_the_same(
    finished: Path, config: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    config.write_text(json.dumps({**tiny.DIGITS, "tuning": {"epochs": 120}}))
    command = [sys.executable, "-m", "noisymodel", "study", "--config", str(config), "--out", str(out)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while not list((out / "cache").glob("*.json")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to parent and workers
    _, complaint = process.communicate(timeout=60)
    assert process.returncode == 130, complaint
    assert "Traceback" not in complaint
    again = complaint.partition("To go on: ")[2].partition("\n")[0]  # what workers say may come later
    assert again == f"noisymodel study --resume --out {out}"
    resumed = subprocess.run([sys.executable, "-m", *shlex.split(again)], capture_output=True, text=True, check=True)
    assert "Results:" in resumed.stdout
    fresh = tmp_path / "fresh"
    assert main(["study", "--config", str(config), "--out", str(fresh), "--workers", "1"]) == 0
    assert (fresh / "results.csv").read_bytes() == (out / "results.csv").read_bytes()
