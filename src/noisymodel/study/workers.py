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
from contextlib import ExitStack
from typing import Any

from ..errors import StudyError
from .config import StudyConfig
from .storage import Storage

_MODULE = "noisymodel.study.worker"


def run_in_processes(
    config: StudyConfig, seeds: Sequence[int], storage: Storage, processes: int, tell: Callable[[str], None]
) -> None:
    """Compute the cells of ``seeds`` into ``storage`` with so many worker processes.

    Args:
        config: the study.
        seeds: which of its cells.
        storage: where the parts go.
        processes: number of workers.
        tell: called in this thread for each finished part of a cell.

    Raises:
        StudyError: a cell failed or a worker died; parts that were finished stay.
    """
    jobs: queue.SimpleQueue[int] = queue.SimpleQueue()
    for seed in seeds:
        jobs.put(seed)
    events: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    job = {"config": config.to_dict(), "folder": str(storage.folder.absolute()), "code": storage.code}
    with ExitStack() as stack:  # leaves in reverse: kill the workers, join the threads, close the pipes
        workers = [stack.enter_context(_start()) for _ in range(min(processes, len(seeds)))]
        for worker in workers:
            thread = threading.Thread(target=_serve, args=(worker, jobs, events, job), daemon=True)
            thread.start()
            stack.callback(thread.join)
        for worker in workers:
            stack.callback(worker.kill)
        open_seeds = set(seeds)
        while open_seeds:
            event = events.get()
            if "failed" in event:
                raise StudyError(event["failed"])
            if "part" in event:
                tell(event["part"])
            else:
                open_seeds.discard(event["done"])


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


def _serve(
    worker: subprocess.Popen[str],
    jobs: queue.SimpleQueue[int],
    events: queue.SimpleQueue[dict[str, Any]],
    job: Mapping[str, Any],
) -> None:
    """Give a worker one job after another and pass on what it tells, until there are no more jobs."""
    assert worker.stdin is not None  # noqa: S101 - opened as a pipe above
    assert worker.stdout is not None  # noqa: S101 - opened as a pipe above
    try:
        while True:
            try:
                seed = jobs.get_nowait()
            except queue.Empty:
                worker.stdin.close()
                return
            worker.stdin.write(json.dumps({**job, "seed": seed}) + "\n")
            worker.stdin.flush()
            for line in worker.stdout:
                event = json.loads(line)
                events.put(event)
                if "part" not in event:
                    break
            else:
                raise BrokenPipeError
    except (OSError, ValueError):
        code = worker.wait()
        events.put({"failed": f"a worker process ended early (exit status {code}); was there memory enough?"})
