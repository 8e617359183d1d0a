"""Cells in parallel processes: a worker is this interpreter running :mod:`noisymodel.study.worker`.

Processes of our own rather than ``multiprocessing``, whose spawned children run the caller's script again. A worker
reads a cell from its standard input and tells what it has done on its standard output, a line of JSON each; it computes
on one thread, so results do not depend on how many there are.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import Any

from .config import StudyConfig
from .failures import WHOLE_CELL, Failure
from .grid import CellName
from .storage import Storage

_MODULE = "noisymodel.study.worker"


def run_in_processes(
    config: StudyConfig, cells: Sequence[CellName], storage: Storage, processes: int, tell: Callable[[str], None]
) -> list[Failure]:
    """Compute cells into ``storage`` with so many worker processes.

    Args:
        config: the study.
        cells: which of its cells.
        storage: where the parts go.
        processes: number of workers.
        tell: called in this thread for each finished part of a cell.

    Returns:
        What failed; the rest is finished. A cell whose worker died has failed; another worker takes the next one.
    """
    jobs: queue.SimpleQueue[CellName] = queue.SimpleQueue()
    for cell in cells:
        jobs.put(cell)
    events: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    job = {"config": config.to_dict(), "folder": str(storage.folder.absolute()), "code": storage.code}
    failures: list[Failure] = []
    with ExitStack() as stack:  # leaves in reverse: no more jobs, kill the workers, join the threads, close the pipes
        for _ in range(min(processes, len(cells))):
            desk = _Desk(jobs, events, job)
            stack.callback(desk.close)
        stack.callback(_drain, jobs)
        open_cells = set(cells)
        while open_cells:
            event = events.get()
            if "part" in event:
                tell(event["part"])
            else:
                open_cells.discard(CellName(*event["done"]))
                failures += [Failure(CellName(*cell), *said) for cell, *said in event["failures"]]
    return failures


def _drain(jobs: queue.SimpleQueue[CellName]) -> None:
    with suppress(queue.Empty):
        while True:
            jobs.get_nowait()


class _Desk:
    """A thread that keeps one worker process busy, and starts another where it dies."""

    def __init__(
        self, jobs: queue.SimpleQueue[CellName], events: queue.SimpleQueue[dict[str, Any]], job: Mapping[str, Any]
    ) -> None:
        self.jobs, self.events, self.job = jobs, events, job
        self.worker = _start()
        self.closing = False
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def close(self) -> None:
        """Kill the worker and end the thread."""
        self.closing = True
        self.worker.kill()
        self.thread.join()
        self.worker.__exit__(None, None, None)

    def _serve(self) -> None:
        """Give the worker one cell after another and pass on what it tells, until there are no more."""
        while True:
            try:
                cell = self.jobs.get_nowait()
            except queue.Empty:
                return
            try:
                self._compute(cell)
            except (OSError, ValueError):
                if self.closing:
                    return
                code = self.worker.wait()
                self.worker.__exit__(None, None, None)
                message = f"StudyError: a worker process ended early (exit status {code}); was there memory enough?"
                self.events.put({"done": cell, "failures": [(cell, WHOLE_CELL, message, "")]})
                self.worker = _start()

    def _compute(self, cell: CellName) -> None:
        assert self.worker.stdin is not None  # noqa: S101 - opened as a pipe below
        assert self.worker.stdout is not None  # noqa: S101 - opened as a pipe below
        self.worker.stdin.write(json.dumps({**self.job, "cell": cell}) + "\n")
        self.worker.stdin.flush()
        for line in self.worker.stdout:
            event = json.loads(line)
            self.events.put(event)
            if "part" not in event:
                return
        raise BrokenPipeError


def _start() -> subprocess.Popen[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(  # noqa: S603 - this interpreter and a module of ours
        [sys.executable, "-m", _MODULE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env=environment,
    )
