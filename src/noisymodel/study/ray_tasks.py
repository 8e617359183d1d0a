"""Cells as Ray tasks: each computes its parts into the shared folder and returns what failed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..errors import MissingExtraError
from .cells import compute_cell
from .config import StudyConfig
from .failures import WHOLE_CELL, Failure, failure
from .grid import CellName
from .storage import Storage


def run_as_ray_tasks(
    config: StudyConfig, names: Sequence[CellName], storage: Storage, workers: int | None, tell: Callable[[str], None]
) -> list[Failure]:
    """Compute cells into ``storage`` with a Ray task of one CPU each; ``workers`` at once at most.

    The cluster is the one that this process is connected to; if there is none, Ray starts one on this machine, or
    connects to the one that ``RAY_ADDRESS`` names. A task whose worker died is run again by Ray, three times at most.

    Raises:
        MissingExtraError: Ray is not installed.
    """
    try:
        import ray
    except ImportError:
        raise MissingExtraError("ray", extra="ray", purpose="a study as Ray tasks") from None
    if not ray.is_initialized():
        ray.init(log_to_driver=False)
    task: Any = ray.remote(num_cpus=1)(_compute)
    waiting = list(names)
    running: dict[Any, CellName] = {}
    failures: list[Failure] = []
    while waiting or running:
        while waiting and (workers is None or len(running) < workers):
            name = waiting.pop(0)
            handle = task.remote(config.to_dict(), tuple(name), str(storage.folder.absolute()), storage.code)
            running[handle] = name
        (done,), _ = ray.wait(list(running), num_returns=1)
        name = running.pop(done)
        try:
            parts, failed = ray.get(done)
        except Exception as error:  # Ray's errors: a worker that died too often
            failures.append(failure(name, WHOLE_CELL, error))
            continue
        for part in parts:
            tell(part)
        failures += [Failure(CellName(*cell), *said) for cell, *said in failed]
    return failures


def _compute(
    config: dict[str, Any], name: tuple[str, str, str, int], folder: str, code: str
) -> tuple[list[str], list[Failure]]:
    import torch

    torch.set_num_threads(1)
    parts: list[str] = []
    storage = Storage(Path(folder), code)
    failures = compute_cell(StudyConfig.from_mapping(config), CellName(*name), storage, parts.append)
    return parts, failures
