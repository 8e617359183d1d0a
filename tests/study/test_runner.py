"""Whole studies, small: files, determinism, resuming, and what is never overwritten."""

from __future__ import annotations

import csv
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import safetensors.numpy
import torch

from noisymodel import study
from noisymodel.errors import ConfigError, MissingExtraError, OutputFolderError, StudyError, StudyWarning
from noisymodel.study import StudyConfig, runner
from noisymodel.study.cells import Cell
from noisymodel.study.computing import Shard
from noisymodel.study.folder import is_finished
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


@pytest.fixture(scope="module", params=["glyphs", "digits"])
def finished(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[StudyConfig, Path]:
    config = getattr(tiny, request.param)()
    out = tmp_path_factory.mktemp(request.param) / "out"
    study.run(config, out, workers=1)
    return config, out


def test_all_files_are_there_and_nothing_else(finished: tuple[StudyConfig, Path]) -> None:
    config, out = finished
    assert {path.name for path in out.iterdir()} == FILES | {"figures", "tables", "cache"}
    assert {path.suffix for path in (out / "figures").iterdir()} == {".png", ".svg", ".pdf"}
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
def test_results_in_memory_are_those_on_disk(finished: tuple[StudyConfig, Path]) -> None:
    config, out = finished
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
def test_processes_give_the_same_bytes(finished: tuple[StudyConfig, Path], tmp_path: Path) -> None:
    config, out = finished
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
@pytest.mark.parametrize("after", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_killed_and_resumed_gives_the_same_bytes(
    finished: tuple[StudyConfig, Path], tmp_path: Path, after: int
) -> None:
    config, whole = finished
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
    monkeypatch.setattr(runner, "find_spec", lambda name: None if name == "matplotlib" else object())
    with pytest.raises(
        MissingExtraError, match=r"`matplotlib` is needed for the study's report: .*noisymodel\[study\]"
    ):
        study.run(tiny.digits(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_study_of_which_every_cell_fails_is_an_error_that_names_one(tmp_path: Path) -> None:
    config = tiny.digits(seeds=[1, 2], data_options={"pretraining_images": 1797})
    with pytest.raises(StudyError, match=r"every cell failed, the first with: .*, seed [12], pretraining: "):
        study.run(config, tmp_path / "out", workers=2)
    assert {failure["part"] for failure in json.loads((tmp_path / "out" / "failures.json").read_text())} == {
        "pretraining"
    }


BREAKING = """
import noisymodel.study.method as method
fit = method.fit

def broken(head, *arguments, seed, **keywords):
    if seed == 2 and len(list(head.parameters())) > 2:
        raise RuntimeError("out of\\npaper")
    return fit(head, *arguments, seed=seed, **keywords)

if __name__ == "__main__":
    from noisymodel.study.worker import main
    method.fit = broken
    main()
"""


@quick
@pytest.mark.parametrize("workers", [1, 2])
def test_a_cell_that_fails_is_left_out_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    (tmp_path / "breaking.py").write_text(BREAKING)
    monkeypatch.syspath_prepend(tmp_path)
    if workers == 1:
        monkeypatch.setattr("noisymodel.study.method.fit", importlib.import_module("breaking").broken)
    else:
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
        monkeypatch.setattr("noisymodel.study.workers._MODULE", "breaking")
    config, out = tiny.digits(seeds=[1, 2, 3]), tmp_path / "out"
    with pytest.warns(StudyWarning, match=r"1 cells failed and are left out.*seed 2, mlp: RuntimeError: out of paper"):
        result = study.run(config, out, workers=workers)
    assert {row["seed"] for row in result.table} == {1, 3}
    (failed,) = json.loads((out / "failures.json").read_text())
    assert (failed["seed"], failed["part"], failed["message"]) == (2, "mlp", "RuntimeError: out of paper")
    assert "Traceback" in failed["details"]
    assert not is_finished(out, config)
    monkeypatch.undo()
    healed = study.run(config, out, resume=True, workers=workers)
    assert {row["seed"] for row in healed.table} == {1, 2, 3}
    assert is_finished(out, config)


def test_a_worker_that_dies_is_reported_and_another_takes_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dying.py").write_text(
        "import os, sys, noisymodel.study.cells as c\ncompute = c.compute_cell\n"
        "def deadly(config, name, *a):\n"
        "    if name.seed == 2: os._exit(7)\n"
        "    return compute(config, name, *a)\n"
        "c.compute_cell = deadly\nfrom noisymodel.study.worker import main\nmain()\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    monkeypatch.setattr("noisymodel.study.workers._MODULE", "dying")
    with pytest.warns(StudyWarning, match=r"seed 2, the whole cell: .*ended early \(exit status 7\)"):
        result = study.run(tiny.digits(seeds=[1, 2, 3, 4]), workers=2)
    assert {row["seed"] for row in result.table} == {1, 3, 4}


def test_workers_that_never_start_do_not_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("noisymodel.study.workers._MODULE", "this")  # prints a poem and ends
    with pytest.raises(StudyError, match="a worker process ended early"):
        study.run(tiny.digits(seeds=[1, 2]), workers=2)


@quick
def test_shards_together_are_the_study(finished: tuple[StudyConfig, Path], tmp_path: Path) -> None:
    config, whole = finished
    out = tmp_path / "out"
    for index in (1, 0):
        assert runner.run_shard(config, out, Shard(index, 2), workers=1) == []
        assert not (out / "results.csv").exists()
        assert len(list((out / "cache").glob("measures-*"))) == (1 if index == 1 else 2)
    study.run(config, out, resume=True, workers=1)
    assert (out / "results.csv").read_bytes() == (whole / "results.csv").read_bytes()


def test_shards_of_an_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLURM_ARRAY_TASK_ID", "RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigError, match="expected SLURM_ARRAY_TASK_ID"):
        Shard.parse("env")
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert Shard.parse("env") == Shard(1, 4)
    for name, value in {"TASK_ID": "7", "TASK_MIN": "3", "TASK_STEP": "2", "TASK_COUNT": "5"}.items():
        monkeypatch.setenv(f"SLURM_ARRAY_{name}", value)
    assert Shard.parse("env") == Shard(2, 5)
    for wrong in ("3", "3/3", "a/b", "-1/2", "1/0"):
        with pytest.raises(ConfigError, match="expected I/N"):
            Shard.parse(wrong)


def test_workers_end_with_their_parent(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "noisymodel.study.worker"]
    worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert worker.stdin is not None
    worker.stdin.close()
    assert worker.wait(timeout=60) == 0
    assert worker.stdout is not None
    worker.stdout.close()
