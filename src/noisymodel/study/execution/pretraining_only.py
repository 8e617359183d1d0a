"""The pre-training of a study by itself: all cells one after the other, each shared by all ranks of a process group."""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from ...errors import ConfigError, StudyError
from ..cell import Cell
from ..config import StudyConfig
from ..failures import Failure, failure
from ..output_folder import CACHE_FOLDER, claim_folder
from ..part_cache import PartCache
from ..plan import CellName, Plan, plan
from ..rows import PRETRAINING

_PATIENCE = timedelta(days=7)
"""How long a rank waits for another: as long as the slowest does what the others do not."""


def pretrain_study(
    config: StudyConfig | Mapping[str, Any], out: str | Path, *, cache: str | Path | None = None
) -> list[Failure]:
    """Pre-train all networks of a study into ``out``, and nothing else; ``run(..., resume=True)`` does the rest.

    In a process group (``torchrun``) the ranks share every batch, as :func:`~noisymodel.study.pretraining.pretrain`
    says; rank 0 writes, and all must see the folder. Without one this process does it alone.

    Args:
        config: the study, or its keys.
        out: the output folder; a study that is in it goes on.
        cache: folder of finished parts, if not the one inside.

    Returns:
        What failed; the other cells are there.

    Raises:
        ConfigError: something is wrong with the configuration.
        OutputFolderError: ``out`` holds something else.
    """
    chosen = config if isinstance(config, StudyConfig) else StudyConfig.from_mapping(config)
    planned = plan(chosen)
    path = Path(out)
    _at_rank_zero(lambda: claim_folder(path, chosen, resume=True, force=False))
    parts = PartCache(cache if cache is not None else path / CACHE_FOLDER)
    failures: list[Failure] = []
    for name in planned.cells:
        try:
            with _owned_at_rank_zero(planned, name, parts):
                Cell(planned, name, parts).pretrained()
        except Exception as error:  # the same on all ranks: they have the same data, losses and gradients
            failures.append(failure(name, PRETRAINING, error))
        _wait()
    return failures


@contextmanager
def process_group(device: str) -> Generator[bool]:
    """The process group that ``torchrun`` meant, if it started this process: yields whether this is rank 0.

    Raises:
        ConfigError: the environment names a rank and no world.
    """
    if distributed.is_initialized() or "RANK" not in os.environ:
        yield _first()
        return
    if "WORLD_SIZE" not in os.environ:
        raise ConfigError("expected WORLD_SIZE beside RANK in the environment: start the command with torchrun")
    distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo", timeout=_PATIENCE)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the ranks share the cores
    try:
        yield _first()
    finally:
        torch.set_num_threads(threads)
        distributed.destroy_process_group()


def _first() -> bool:
    return not distributed.is_initialized() or distributed.get_rank() == 0


def _at_rank_zero(work: Any) -> None:
    """Do something once; what goes wrong is raised there, and said on all other ranks."""
    error: Exception | None = None
    if _first():
        try:
            work()
        except Exception as caught:
            error = caught
    if distributed.is_initialized():
        said: list[Any] = [None if error is None else str(error)]
        distributed.broadcast_object_list(said, src=0)
        if said[0] is not None and error is None:
            raise StudyError(f"rank 0: {said[0]}")
    if error is not None:
        raise error


@contextmanager
def _owned_at_rank_zero(planned: Plan, name: CellName, parts: PartCache) -> Generator[None]:
    """A block in which no other study makes the networks of a cell; of a process group rank 0 sees to it."""
    if not distributed.is_initialized():
        yield
        return
    with ExitStack() as stack:
        _at_rank_zero(lambda: stack.enter_context(parts.owned(planned.pretraining(name))))
        yield
        _wait()


def _wait() -> None:
    if distributed.is_initialized():
        distributed.barrier()
