"""Kill a run at each of its steps on the disk, run it again, and compare with a run that nobody disturbed.

``python tests/robustness/kills.py [every [run ...]]`` kills at every step (or every n-th) and prints the counts. A step
is what Python's audit hooks report of a folder: a file opened, a name changed or removed, a folder made. The child is a
fork that ends itself by SIGKILL, so nothing of it is tidied up. A study leaves its hidden ``.partial`` files, since
others may write beside it; everything else removes them.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

from noisymodel.features import FeatureStore, embed, extract, from_npy
from noisymodel.noise_files import corrupt_labels, verify_audit
from noisymodel.study import run as run_study

EVENTS = {
    "open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "sqlite3.connect", "tempfile.mkdtemp",
}  # fmt: skip
ROWS = torch.arange(42.0).view(21, 2)


class Lengths:
    """An embedding client that costs nothing."""

    metadata = {"backbone": "lengths"}  # noqa: RUF012 - a fake

    def embed(self, texts: list[str], *, received: Any = None) -> np.ndarray:
        vectors = np.array([[len(text), 1.0] for text in texts], dtype=np.float32)
        if received is not None:
            received(range(len(texts)), vectors)
        return vectors


def noise(folder: Path) -> None:
    path = folder / "labels.csv"
    if not path.exists():
        path.write_text("label\n" + "a\nb\nc\n" * 20)
    if not (folder / "out" / "audit.json").exists():
        corrupt_labels(path, folder / "out", kind="symmetric", rate=0.5, seed=0)
    verify_audit(folder / "out" / "audit.json")


def store(folder: Path) -> None:
    with FeatureStore.create(folder / "s", num_features=2, shard_rows=5, append=True) as made:
        start = len(made)
        made.append(ROWS[start:], range(start, 21), [str(row) for row in range(start, 21)])


def extraction(folder: Path) -> None:
    batches = [(rows, torch.arange(len(rows))) for rows in ROWS.split(4)]
    extract(torch.nn.ReLU(), batches, folder / "s", shard_rows=5, weights="none")


def embedding(folder: Path) -> None:
    embed(["x" * size for size in range(1, 22)], folder / "s", client=Lengths(), block_rows=5, cache=False)


def importing(folder: Path) -> None:
    if not (folder / "s").exists():
        from_npy(ROWS.numpy(), folder / "s", shard_rows=5)


def study(folder: Path) -> None:
    """A study without its figures, which take most of the time."""
    with mock.patch("noisymodel.study.report.files.study_figures", return_value=[]):
        run_study(STUDY_CONFIG, folder / STUDY, workers=1, resume=True)


RUNS: dict[str, Callable[[Path], None]] = {
    "noise": noise, "store": store, "extract": extraction, "embed": embedding, "from_npy": importing, "study": study,
}  # fmt: skip
STUDY = "study-folder"
STUDY_CONFIG: dict[str, Any] = {
    "seeds": [1, 2],
    "noise_rates": [0, 0.3],
    "methods": ["linear_probe", "nmtune_tuned"],
    "shots": 4,
    "shifts": ["small", "salt"],
    "data_options": {"pretraining_images": 120, "check_images": 60, "test_images": 60, "shift_images": 40},
    "pretraining": {"epochs": 2, "widths": [16, 8], "checkpoint_seconds": 0},
    "tuning": {"epochs": 2},
}
OF_STUDY = (".csv", ".txt", ".md", ".bib")  # the other files of a study hold times


def content(folder: Path) -> dict[str, Any]:
    """What a folder holds: rows of stores, bytes of all else; and every name in it."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.name.endswith(".lock"):  # nobody's any more; a run that finds all its work done leaves it
            continue
        if STUDY in path.parts and path.name.endswith(".partial"):
            continue
        if path.name == "manifest.json":
            opened = FeatureStore.open(path.parent)
            opened.verify()
            found[name] = opened.features[:].tolist()
        elif path.is_dir() or path.suffix == ".safetensors" or (STUDY in path.parts and path.suffix not in OF_STUDY):
            found[name] = None
        elif path.name == "audit.json":  # it holds the input's path
            found[name] = verify_audit(path)["column_checksum"]
        else:
            found[name] = path.read_bytes()
    return found


def killed_at(step: int, run: Callable[[Path], None], folder: Path) -> bool:
    """Run in a fork that dies at a step on the disk; whether it did, and had not ended before."""
    child = os.fork()
    if child == 0:
        count = 0

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal count
            if event in EVENTS and arguments and str(folder) in os.fsdecode(str(arguments[0])):
                if count == step:
                    os.kill(os.getpid(), signal.SIGKILL)
                count += 1

        sys.addaudithook(hook)
        code = 1
        try:
            run(folder)
            code = 0
        finally:
            os._exit(code)
    status = os.waitpid(child, 0)[1]
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise AssertionError(f"step {step}: the run failed by itself")
    return os.WIFSIGNALED(status)


def kill_everywhere(name: str, every: int, work: Path) -> int:
    """Kill a run at every n-th step, and see that the next run ends with the same; how often it was killed."""
    run, whole = RUNS[name], work / f"{name}-whole"
    whole.mkdir()
    run(whole)
    wanted, kills, step = content(whole), 0, 0
    while True:
        folder = work / f"{name}-{step}"
        folder.mkdir()
        if not killed_at(step, run, folder):
            shutil.rmtree(folder)
            return kills
        kills += 1
        run(folder)
        found = content(folder)
        if found != wanted:
            left = sorted(set(found) ^ set(wanted))
            raise AssertionError(f"{name}, killed at step {step}: {left or 'other content'}")
        shutil.rmtree(folder)
        step += every


def main(every: str = "1", *runs: str) -> None:
    """The runs, all by default, and the counts."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        counts = {name: kill_everywhere(name, int(every), Path(folder)) for name in runs or RUNS}
    listed = ", ".join(f"{name} {count}" for name, count in counts.items())
    print(f"kills: {sum(counts.values())} ({listed}); runs that did not go on: 0; results that differed: 0")


if __name__ == "__main__":
    main(*sys.argv[1:])
