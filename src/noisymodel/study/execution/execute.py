"""Computation of a plan's missing parts: in this process, in parallel processes, or as tasks of a cluster."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager

import torch
from tqdm import tqdm

from ..cell import compute_cell
from ..failures import Failure
from ..part_cache import PartCache
from ..plan import CellName, Part, Plan
from .shard import Shard

BACKENDS = ("processes", "ray")


def execute(
    plan: Plan,
    cache: PartCache,
    *,
    workers: int | None = None,
    progress: bool = False,
    backend: str = "processes",
    shard: Shard | None = None,
) -> list[Failure]:
    """Compute all missing parts, or those of a shard; store them, and return the failures.

    Args:
        plan: the study.
        cache: the cache of finished parts.
        workers: processes, or Ray tasks at once; ``None`` for one per core; 1 computes in this process.
        progress: whether to show a bar on stderr.
        backend: ``"processes"`` or ``"ray"``.
        shard: the cells to compute; all by default.
    """
    cells = plan.cells[shard.index :: shard.count] if shard else plan.cells
    lacking = {cell: missing for cell in cells if (missing := plan.missing(cell, cache))}
    with _progress(plan, lacking, cache, shown=progress) as look:
        if backend == "ray":
            from .ray_tasks import run_as_ray_tasks  # the extra

            return run_as_ray_tasks(plan, list(lacking), cache, workers, look)
        count = min(workers or os.cpu_count() or 1, len(lacking))
        if count > 1:
            from .processes import run_in_processes

            return run_in_processes(plan, list(lacking), cache, count, look)
        with one_thread():
            return [failure for cell in lacking for failure in compute_cell(plan, cell, cache, look)]


@contextmanager
def _progress(
    plan: Plan, lacking: Mapping[CellName, Sequence[Part]], cache: PartCache, *, shown: bool
) -> Generator[Callable[[], None]]:
    """A progress bar, and the function that looks for new parts in the cache."""
    awaited = {cache.path(plan.identity(cell, part)) for cell, parts in lacking.items() for part in parts}
    pause = 0.1 if sys.stderr.isatty() else 10.0  # seconds between updates: a log file needs few
    shown = shown and bool(lacking)
    with tqdm(total=len(awaited), desc="study", unit="part", disable=not shown, mininterval=pause) as bar:

        def look() -> None:
            there = {path for path in awaited if path.exists()} if shown else set()
            awaited.difference_update(there)
            bar.update(len(there))

        yield look
        look()


@contextmanager
def one_thread() -> Generator[None]:
    """Compute on one thread, as in a worker process, so that sums do not depend on the number of cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
