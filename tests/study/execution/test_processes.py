"""Cells in worker processes: where they import from, what dies with what, and studies that share folders."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from noisymodel import study
from noisymodel.errors import OutputFolderError
from noisymodel.study import plan
from noisymodel.study.execution import processes
from noisymodel.study.output_folder import claim_folder, read_claim
from noisymodel.study.part_cache import PartCache
from study import tiny

RUN = "import sys; from noisymodel import study; print(len(study.run(sys.argv[1], sys.argv[2], workers=2).table))"


def environment() -> dict[str, str]:
    """This process's modules, and none of the working directory."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}


@pytest.mark.slow
def test_workers_import_nothing_from_the_working_directory(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    for name in ("random", "json", "tempfile", "numbers"):
        (tmp_path / "here" / f"{name}.py").write_text("raise SystemExit('imported from the working directory')")
    (tmp_path / "study.py").write_text(RUN)
    (tmp_path / "config.json").write_text(json.dumps(tiny.DIGITS | {"methods": ["linear_probe"]}))
    command = [sys.executable, str(tmp_path / "study.py"), str(tmp_path / "config.json"), str(tmp_path / "out")]
    done = subprocess.run(
        command, cwd=tmp_path / "here", env=environment(), capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0
    assert "working directory" not in done.stderr


def test_a_worker_that_dies_costs_its_cell_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second time by itself, so that the others do not fail with it."""
    planned = plan(tiny.digits(seeds=[1, 2, 3], methods=["linear_probe"]))
    tried: list[tuple[int, int]] = []

    def until_a_worker_dies(_plan: object, cells: list[object], _cache: object, count: int, _look: object) -> object:
        tried.append((len(cells), count))
        names = [cell.seed for cell in cells]  # type: ignore[attr-defined]
        if 2 not in names:
            return [], [], []
        return [], [cell for cell in cells if cell.seed in (1, 2)], [cell for cell in cells if cell.seed == 3]  # type: ignore[attr-defined]

    monkeypatch.setattr(processes, "_until_a_worker_dies", until_a_worker_dies)
    failures = processes.run_in_processes(planned, planned.cells, PartCache(tmp_path), 2, lambda: None)
    assert tried == [(3, 2), (1, 1), (1, 1), (1, 2)]
    assert [(one.cell.seed, one.part) for one in failures] == [(2, "pretraining")]
    assert "a worker process ended early" in failures[0].message


@pytest.mark.slow
def test_workers_end_with_their_parent(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(tiny.DIGITS | {"tuning": {"epochs": 2000}}))
    command = [sys.executable, "-c", RUN, str(tmp_path / "config.json"), str(tmp_path / "out")]
    parent = subprocess.Popen(command, env=environment(), stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "out" / "cache").glob("*.safetensors")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    while time.monotonic() < deadline:
        if not any(_session(entry) == parent.pid for entry in Path("/proc").iterdir() if entry.name.isdecimal()):
            return
        time.sleep(0.1)
    raise AssertionError("workers outlived their parent")


def _session(entry: Path) -> int:
    try:
        fields = (entry / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] == "Z" else int(fields[3])


CLAIM = """
import sys, time
from pathlib import Path
from noisymodel.study import StudyConfig
from noisymodel.study.output_folder import claim_folder
config = StudyConfig(seeds=(1, 2))
while not Path(sys.argv[1]).exists():
    time.sleep(0.0005)
for number in range(30):
    claim_folder(Path(sys.argv[2]) / str(number), config, resume=True, force=False)
"""


@pytest.mark.slow
def test_a_new_folder_may_be_claimed_by_many_at_once(tmp_path: Path) -> None:
    begin, out = tmp_path / "begin", tmp_path / "out"
    command = [sys.executable, "-c", CLAIM, str(begin), str(out)]
    claims = [subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE, text=True) for _ in range(4)]
    time.sleep(0.5)
    begin.touch()
    for claim in claims:
        _, complaint = claim.communicate(timeout=120)
        assert claim.returncode == 0, complaint
    assert all(read_claim(out / str(number)) is not None for number in range(30))


def test_a_new_folder_may_be_claimed_by_many_threads(tmp_path: Path) -> None:
    refused: list[Exception] = []

    def claim() -> None:
        for number in range(20):
            try:
                claim_folder(tmp_path / str(number), tiny.digits(), resume=True, force=False)
            except Exception as error:
                refused.append(error)

    threads = [threading.Thread(target=claim) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused == []


def test_a_study_and_another_cannot_both_claim_a_folder(tmp_path: Path) -> None:
    refused: list[str] = []

    def claim(seed: int) -> None:
        try:
            claim_folder(tmp_path / "out", tiny.digits(seeds=[seed]), resume=True, force=False)
        except OutputFolderError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=claim, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 5
    assert all("holds another study (it differs in `seeds`)" in said for said in refused)


def test_studies_that_share_a_cache_run_at_the_same_time(tmp_path: Path) -> None:
    """Both want the same networks, with checkpoints at every step; one makes them, nobody's files go."""
    config = tiny.glyphs(
        seeds=[1],
        architectures=["resnet"],
        methods=["linear_probe"],
        pretraining={"epochs": 2, "checkpoint_steps": 1, "resnet_widths": [8]},
    )
    tables: list[object] = []
    errors: list[Exception] = []

    def run() -> None:
        try:
            tables.append(study.run(config, cache=tmp_path, workers=1).table)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert tables[0] == tables[1] == tables[2]
    assert not list(tmp_path.glob("*.checkpoints"))
