"""Cells in parallel processes of a loky pool, whose workers do not run the caller's script again.

A worker computes on one thread, so results do not depend on the number of workers. It imports nothing from the working
directory, ignores Ctrl-C, which its parent handles, and ends when its parent ends, for whatever reason.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..cell import compute_cell
from ..failures import Failure, failure
from ..part_cache import PartCache
from ..plan import NETWORKS, CellName, Plan

_PAUSE = 0.5
"""Seconds between two checks for finished parts."""
_ENVIRONMENT = {"PYTHONSAFEPATH": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def run_in_processes(
    plan: Plan, cells: Sequence[CellName], cache: PartCache, processes: int, look: Callable[[], None]
) -> list[Failure]:
    """Compute cells in worker processes.

    Args:
        plan: the study.
        cells: the cells to compute.
        cache: the cache for the parts.
        processes: the number of workers.
        look: called regularly in this thread.

    Returns:
        The failures; all other parts are finished. If a worker dies, each unfinished cell that had begun is tried once
        more by itself; it fails if its worker dies again.
    """
    waiting = list(cells)
    failures: list[Failure] = []
    while waiting:
        found, interrupted, waiting = _until_a_worker_dies(plan, waiting, cache, processes, look)
        failures += found
        for cell in interrupted:
            again, dead, _ = _until_a_worker_dies(plan, [cell], cache, 1, look)
            failures += again + [_died(plan, cell) for _ in dead]
    return failures


def _until_a_worker_dies(
    plan: Plan, cells: Sequence[CellName], cache: PartCache, processes: int, look: Callable[[], None]
) -> tuple[list[Failure], list[CellName], list[CellName]]:
    """The failures, the cells in progress when a worker died, and the cells that had not begun."""
    from joblib.externals.loky import BrokenProcessPool, ProcessPoolExecutor

    waiting, failures = list(cells), list[Failure]()
    running: dict[Future[Any], CellName] = {}
    interrupted: list[CellName] = []
    begin = (plan, str(cache.folder), os.getpid())
    with _starting():  # loky's tracker of resources, too, is a process
        pool = ProcessPoolExecutor(processes, initializer=_begin, initargs=begin, env=_ENVIRONMENT)
    try:
        while (waiting or running) and not interrupted:
            while waiting and len(running) < processes:
                with _starting():
                    running[pool.submit(_compute, waiting[0])] = waiting[0]
                waiting.pop(0)
            done, _ = wait(running, timeout=_PAUSE, return_when=FIRST_COMPLETED)
            look()
            for future in done:
                cell = running.pop(future)
                try:
                    failures += future.result()
                except BrokenProcessPool:
                    interrupted.append(cell)
                except Exception as error:
                    failures.append(failure(cell, plan.spoken(NETWORKS), error))
    except BaseException:
        pool.shutdown(wait=True, kill_workers=True)
        raise
    pool.shutdown(wait=True, kill_workers=bool(interrupted))
    return failures, [*interrupted, *running.values()], waiting


def _died(plan: Plan, cell: CellName) -> Failure:
    message = "StudyError: a worker process ended early; was there memory enough?"
    return Failure(cell, plan.spoken(NETWORKS), message, "")


@contextmanager
def _starting() -> Generator[None]:
    """Make processes that start in the block ignore Ctrl-C, and import no modules from the working directory."""
    path, known = list(sys.path), os.environ.get("PYTHONSAFEPATH")
    sys.path[:] = [place for place in path if place not in ("", ".")]
    os.environ["PYTHONSAFEPATH"] = "1"
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if hasattr(signal, "pthread_sigmask") else None
    try:
        yield
    finally:
        if before is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        sys.path[:] = path
        if known is None:
            del os.environ["PYTHONSAFEPATH"]
        else:
            os.environ["PYTHONSAFEPATH"] = known


# ---- in a worker -----------------------------------------------------------------------------------------------------

_study: list[tuple[Plan, PartCache]] = []


def _begin(plan: Plan, folder: str, parent: int) -> None:
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    _study[:] = [(plan, PartCache(Path(folder)))]


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_PAUSE)
    os._exit(1)


def _compute(cell: CellName) -> list[Failure]:
    plan, cache = _study[0]
    return compute_cell(plan, cell, cache)
