"""Cells as Ray tasks: each task computes its parts into the shared folder and returns the failures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ...errors import import_extra
from ..cell import compute_cell
from ..failures import Failure, failure
from ..part_cache import PartCache
from ..plan import NETWORKS, CellName, Plan


def run_as_ray_tasks(
    plan: Plan, cells: Sequence[CellName], cache: PartCache, workers: int | None, look: Callable[[], None]
) -> list[Failure]:
    """Compute each cell in a Ray task of one CPU; at most ``workers`` tasks run at once.

    The tasks run on the cluster of this process. If there is none, Ray connects to the cluster that ``RAY_ADDRESS``
    names, or starts one on this machine. If a worker dies, Ray repeats its task, at most three times.

    Raises:
        MissingExtraError: Ray is not installed.
    """
    ray = import_extra("ray", extra="ray", purpose="a study as Ray tasks")
    if not ray.is_initialized():
        ray.init(log_to_driver=False)
    task: Any = ray.remote(num_cpus=1)(_compute)
    shared = ray.put(plan)
    waiting = list(cells)
    running: dict[Any, CellName] = {}
    failures: list[Failure] = []
    while waiting or running:
        while waiting and (workers is None or len(running) < workers):
            cell = waiting.pop(0)
            running[task.remote(shared, cell, str(cache.folder))] = cell
        done, _ = ray.wait(list(running), num_returns=1, timeout=1.0)
        look()
        for handle in done:
            cell = running.pop(handle)
            try:
                failures += ray.get(handle)
            except Exception as error:  # Ray's errors: a worker that died too often
                failures.append(failure(cell, plan.spoken(NETWORKS), error))
    return failures


def _compute(plan: Plan, cell: CellName, folder: str) -> list[Failure]:
    import torch

    torch.set_num_threads(1)
    return compute_cell(plan, cell, PartCache(folder))
