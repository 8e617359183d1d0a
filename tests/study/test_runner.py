"""Whole studies, small: files, determinism, resuming, and what is never overwritten."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import safetensors.numpy
import torch

from noisymodel import study
from noisymodel.errors import ConfigError, MissingExtraError, OutputFolderError, StudyError
from noisymodel.study import StudyConfig, runner
from noisymodel.study.cell import Cell
from noisymodel.study.collect import Collected
from noisymodel.study.execution import Shard
from noisymodel.study.output_folder import LOCK_FILE, is_finished
from study import tiny

FILES = {
    "results.csv",
    "summary.csv",
    "results.json",
    "spectra.safetensors",
    "report.html",
    "tables.txt",
    "config.json",
    "correlations.csv",
    "citation.bib",
}


@pytest.fixture
def _without_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports in a fraction of the time; the figures have their own tests."""
    monkeypatch.setattr("noisymodel.study.report.files.study_figures", lambda _: [])


quick = pytest.mark.usefixtures("_without_figures")


def run_once(data: str, factory: pytest.TempPathFactory) -> tuple[StudyConfig, Path]:
    config = getattr(tiny, data)()
    out = factory.mktemp(data) / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("noisymodel.study.report.files.study_figures", lambda _: [])
        study.run(config, out, workers=1)
    return config, out


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[StudyConfig, Path]:
    return run_once("glyphs", tmp_path_factory)


@pytest.fixture(scope="module", params=["glyphs", pytest.param("digits", marks=pytest.mark.slow)])
def finished_of_each(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[StudyConfig, Path]:
    """For what may depend on the data; the care for folders does not."""
    return request.getfixturevalue("finished") if request.param == "glyphs" else run_once("digits", tmp_path_factory)


def test_all_files_are_there_and_nothing_else(finished_of_each: tuple[StudyConfig, Path]) -> None:
    config, out = finished_of_each
    assert {path.name for path in out.iterdir()} == FILES | {"tables", "cache", LOCK_FILE}
    record = json.loads((out / "results.json").read_text())
    assert StudyConfig.from_mapping(record["config"]) == StudyConfig.load(out / "config.json") == config
    assert record["seconds"] > 0
    assert record["versions"]["torch"] == torch.__version__
    spectra = safetensors.numpy.load_file(out / "spectra.safetensors")
    assert set(spectra) == {
        f"rate={rate:g}/seed={seed}/{test}"
        for rate in config.noise_rates
        for seed in config.seeds
        for test in ("id", *config.shifts)
    }


@quick
def test_results_in_memory_are_those_on_disk(finished_of_each: tuple[StudyConfig, Path]) -> None:
    config, out = finished_of_each
    result = study.run(config, out, resume=True)
    assert result.path == out
    with (out / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        "data", "objective", "architecture", "noise_kind", "noise_rate", "method",
        "shots", "split", "shift", "seed", "metric", "value",
    ]  # fmt: skip

    def key(row: dict[str, object]) -> tuple[str, ...]:
        return (
            *(str(row[name]) for name in ("method", "shift", "seed", "metric")),
            repr(float(str(row["noise_rate"]))),
        )

    in_memory = {key(row): row["value"] for row in result.table}
    assert {key(row): float(row["value"]) for row in rows} == in_memory
    assert len(rows) == len(result.table)


@quick
def test_nothing_is_written_without_an_output_folder(
    finished: tuple[StudyConfig, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, out = finished
    monkeypatch.chdir(tmp_path)
    result = study.run(config.to_dict(), cache=out / "cache", workers=1)
    assert result.path is None
    assert list(tmp_path.iterdir()) == []
    assert result.table == study.run(config, out, resume=True).table


@quick
@pytest.mark.slow
def test_processes_give_the_same_bytes(finished_of_each: tuple[StudyConfig, Path], tmp_path: Path) -> None:
    config, out = finished_of_each
    study.run(config, tmp_path / "parallel", workers=2)
    for name in ("results.csv", "summary.csv", "spectra.safetensors"):
        assert (tmp_path / "parallel" / name).read_bytes() == (out / name).read_bytes(), name


def test_threads_of_the_caller_are_left_alone(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        study.run(tiny.digits(seeds=[1], methods=["linear_probe"]), workers=1)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


KILLED = "import sys; from noisymodel import study; study.run(sys.argv[1], sys.argv[2], workers=2, resume=True)"


@quick
@pytest.mark.slow
@pytest.mark.parametrize("after", [1, 3])
def test_killed_and_resumed_gives_the_same_bytes(
    finished_of_each: tuple[StudyConfig, Path], tmp_path: Path, after: int
) -> None:
    config, whole = finished_of_each
    out = tmp_path / "out"
    command = [sys.executable, "-c", KILLED, str(whole / "config.json"), str(out)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(list((out / "cache").glob("*.json"))) < after:
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (out / "results.json").exists()
    with pytest.raises(OutputFolderError, match="holds an unfinished run of this study; add --resume"):
        study.run(config, out)
    study.run(config, out, resume=True, workers=1)
    assert (out / "results.csv").read_bytes() == (whole / "results.csv").read_bytes()


@quick
def test_another_study_is_not_overwritten_without_force(finished: tuple[StudyConfig, Path], tmp_path: Path) -> None:
    config, whole = finished
    out = tmp_path / "out"
    study.run(config, out, cache=whole / "cache", workers=1)
    before = {path: path.read_bytes() for path in out.iterdir() if path.is_file()}
    other = StudyConfig.from_mapping({**config.to_dict(), "seeds": [1]})
    for resume in (False, True):
        with pytest.raises(OutputFolderError, match=r"holds another study \(it differs in `seeds`\).*--force"):
            study.run(other, out, resume=resume)
    with pytest.raises(OutputFolderError, match="holds the results of this study; add --resume"):
        study.run(config, out)
    assert {path: path.read_bytes() for path in out.iterdir() if path.is_file()} == before
    study.run(other, out, force=True, cache=whole / "cache", workers=1)
    assert StudyConfig.load(out / "config.json") == other
    assert (out / "results.csv").read_bytes() != before[out / "results.csv"]


def test_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputFolderError, match="is not empty and holds no study"):
        study.run(tiny.digits(), tmp_path)
    with pytest.raises(OutputFolderError, match="is a file"):
        study.run(tiny.digits(), tmp_path / "thesis.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@quick
def test_forced_study_that_is_killed_does_not_pass_for_finished(
    finished: tuple[StudyConfig, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, whole = finished
    out = tmp_path / "out"
    study.run(config, out, cache=whole / "cache", workers=1)
    other = StudyConfig.from_mapping({**config.to_dict(), "seeds": [5]})

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Cell, "compute", killed)
    with pytest.raises(KeyboardInterrupt):
        study.run(other, out, force=True, workers=1)
    assert not is_finished(out, other)
    assert not is_finished(out, config)


def test_bad_configuration_is_found_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="`methods`"):
        study.run({"methods": ["nothing"]}, tmp_path / "out")
    with pytest.raises(ConfigError, match="`shifts`"):
        study.run({"shifts": ["nothing"]}, tmp_path / "out")
    with pytest.raises(ConfigError, match="cannot be read"):
        study.run(tmp_path / "missing.toml", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_missing_extra_is_found_before_computing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("noisymodel.errors.find_spec", lambda name: None if name == "matplotlib" else object())
    with pytest.raises(
        MissingExtraError, match=r"`matplotlib` is needed for the study's report: .*noisymodel\[study\]"
    ):
        study.run(tiny.digits(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_study_of_which_everything_fails_is_an_error_that_names_one(tmp_path: Path) -> None:
    config = tiny.digits(seeds=[1, 2], data_options={"pretraining_images": 1797})
    with pytest.raises(StudyError, match=r"every method failed, the first with: .*, seed [12], pretraining: "):
        study.run(config, tmp_path / "out", workers=1)
    failed = json.loads((tmp_path / "out" / "failures.json").read_text())
    assert {one["part"] for one in failed} == {"pretraining", "features", "linear_probe", "mlp"}


@quick
def test_parts_that_cannot_be_read_are_computed_anew(finished: tuple[StudyConfig, Path], tmp_path: Path) -> None:
    config, whole = finished
    out = tmp_path / "out"
    shutil.copytree(whole, out)
    (out / "results.json").unlink()
    for number, path in enumerate(sorted((out / "cache").glob("*.json"))):
        path.write_bytes(b"{}" if number % 2 else path.read_bytes()[:-20])
    for path in (out / "cache").glob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:-1])
    assert study.status(out).missing == study.status(out).parts
    study.run(config, out, resume=True, workers=1)
    for name in ("results.csv", "summary.csv", "spectra.safetensors"):
        assert (out / name).read_bytes() == (whole / name).read_bytes(), name


@quick
def test_force_leaves_nothing_of_the_old_study(finished: tuple[StudyConfig, Path], tmp_path: Path) -> None:
    config, whole = finished
    out = tmp_path / "out"
    shutil.copytree(whole, out)
    (out / "curves.csv").write_text("old")
    (out / "figures").mkdir(exist_ok=True)
    (out / "figures" / "curves.png").write_bytes(b"old")
    (out / "notes.txt").write_text("mine")
    other = StudyConfig.from_mapping({**config.to_dict(), "seeds": [1]})
    study.run(other, out, force=True, workers=1)
    assert not (out / "curves.csv").exists()
    assert not (out / "figures").exists(), "figures are left out here"
    assert (out / "notes.txt").read_text() == "mine"


@quick
def test_shards_together_are_the_study(finished: tuple[StudyConfig, Path], tmp_path: Path) -> None:
    config, whole = finished
    out = tmp_path / "out"
    for index in (1, 0):
        assert runner.run_shard(config, out, Shard(index, 2), workers=1) == []
        assert not (out / "results.csv").exists()
        assert len(list((out / "cache").glob("networks-*"))) == (1 if index == 1 else 2)
    study.run(config, out, resume=True, workers=1)
    assert (out / "results.csv").read_bytes() == (whole / "results.csv").read_bytes()


def test_the_record_leaves_out_shifts_that_the_study_does_not_report() -> None:
    record = runner.make_record(study.plan(tiny.glyphs(shifts=["salt"])), Collected([], {}, [], []), seconds=0)
    assert [note.name for note in record.shifts if note.role == "report"] == ["salt"]
    assert len([note for note in record.shifts if note.role == "tuning"]) == 7
