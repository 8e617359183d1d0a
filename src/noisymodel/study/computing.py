"""Computing the cells of a study: in this process, in parallel ones, or as tasks of a cluster."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from tqdm import tqdm

from ..errors import ConfigError
from .cells import Cell, compute_cell
from .config import StudyConfig
from .failures import Failure
from .grid import CellName, cell_names
from .storage import Storage
from .workers import run_in_processes

BACKENDS = ("processes", "ray")


@dataclass(frozen=True)
class Shard:
    """One of ``count`` equal parts of a study's cells: those whose place is ``index`` modulo ``count``."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """``"3/8"``, counted from 0, or ``"env"``: a task of a Slurm array, or a process of torchrun.

        Raises:
            ConfigError: anything else, or an environment that says neither.

        >>> Shard.parse("3/8")
        Shard(index=3, count=8)
        """
        if text == "env":
            return cls._of_environment()
        index, _, count = text.partition("/")
        if not (index.isdecimal() and count.isdecimal() and int(index) < int(count)):
            raise ConfigError(f"shard: expected I/N with I from 0 to N - 1, or 'env', got {text!r}")
        return cls(int(index), int(count))

    @classmethod
    def _of_environment(cls) -> Shard:
        known = os.environ
        if "SLURM_ARRAY_TASK_ID" in known:
            first = int(known.get("SLURM_ARRAY_TASK_MIN", "0"))
            step = int(known.get("SLURM_ARRAY_TASK_STEP", "1"))
            return cls((int(known["SLURM_ARRAY_TASK_ID"]) - first) // step, int(known["SLURM_ARRAY_TASK_COUNT"]))
        if "RANK" in known and "WORLD_SIZE" in known:
            return cls(int(known["RANK"]), int(known["WORLD_SIZE"]))
        raise ConfigError(
            "shard 'env': expected SLURM_ARRAY_TASK_ID (sbatch --array) or RANK and WORLD_SIZE (torchrun) in the "
            "environment, got neither; give I/N"
        )


def compute(
    config: StudyConfig,
    storage: Storage,
    *,
    workers: int | None = None,
    progress: bool = False,
    backend: str = "processes",
    shard: Shard | None = None,
) -> list[Failure]:
    """Compute all parts that the storage lacks, or those of a shard; what failed is returned, the rest is stored."""
    names = cell_names(config)[shard.index :: shard.count] if shard else cell_names(config)
    missing = [name for name in names if _lacks(config, name, storage)]
    cell_parts = 1 + len(list(Cell(config, missing[0], storage).parts)) if missing else 0
    pause = 0.1 if sys.stderr.isatty() else 10.0  # seconds between updates: a log file needs few
    total = len(missing) * cell_parts
    with tqdm(total=total, desc="study", unit="part", disable=not progress or not missing, mininterval=pause) as bar:

        def tell(part: str) -> None:
            bar.set_postfix_str(part, refresh=False)
            bar.update()

        if backend == "ray":
            from .ray_tasks import run_as_ray_tasks  # the extra

            return run_as_ray_tasks(config, missing, storage, workers, tell)
        count = min(workers or os.cpu_count() or 1, len(missing))
        if count > 1:
            return run_in_processes(config, missing, storage, count, tell)
        return _run_here(config, missing, storage, tell)


def _lacks(config: StudyConfig, name: CellName, storage: Storage) -> bool:
    """Whether a cell is not whole yet; one that cannot be opened is not, and says why when it is computed."""
    try:
        return bool(Cell(config, name, storage).missing())
    except Exception:
        return True


def _run_here(
    config: StudyConfig, names: Sequence[CellName], storage: Storage, tell: Callable[[str], None]
) -> list[Failure]:
    with one_thread():
        return [failure for name in names for failure in compute_cell(config, name, storage, tell)]


@contextmanager
def one_thread() -> Generator[None]:
    """As in a worker process: sums of one thread do not depend on the number of cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
