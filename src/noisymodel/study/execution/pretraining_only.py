"""Pre-training of a study alone: all cells one after the other, each shared by all ranks of a process group."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from torch import distributed

from ...errors import ConfigError, StudyError
from ..cell import Cell
from ..config import StudyConfig
from ..failures import Failure, failure
from ..output_folder import CACHE_FOLDER, claim_folder
from ..part_cache import PartCache
from ..plan import CellName, Plan, plan
from ..rows import PRETRAINING
from .execute import one_thread

_PATIENCE = timedelta(days=7)
"""The longest wait of a rank for another rank that does work of its own."""


def pretrain_study(config: StudyConfig, out: str | Path, *, cache: str | Path | None = None) -> list[Failure]:
    """Pre-train all networks of a study into ``out``, and nothing else; ``run(..., resume=True)`` does the rest.

    In a process group (``torchrun``) the ranks share every batch, see :func:`~noisymodel.study.pretraining.pretrain`.
    Rank 0 writes, and all ranks must see the folder. Without a process group this process works alone.

    Args:
        config: the study.
        out: the output folder; an unfinished run in it is resumed.
        cache: folder of finished parts, if it is not the one inside ``out``.

    Returns:
        The failures; the networks of all other cells are stored.

    Raises:
        ConfigError: an error in the configuration.
        OutputFolderError: ``out`` holds something else.
    """
    planned = plan(config)
    path = Path(out)
    _at_rank_zero(lambda: claim_folder(path, config, resume=True, force=False))
    parts = PartCache(cache or path / CACHE_FOLDER)
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
    """Open the process group of ``torchrun``, if it started this process; yield whether this is rank 0.

    Raises:
        ConfigError: the environment names a rank but no world.
    """
    if distributed.is_initialized() or "RANK" not in os.environ:
        yield _first()
        return
    if "WORLD_SIZE" not in os.environ:
        raise ConfigError("expected WORLD_SIZE beside RANK in the environment: start the command with torchrun")
    distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo", timeout=_PATIENCE)
    try:
        with one_thread():  # the ranks share the cores
            yield _first()
    finally:
        distributed.destroy_process_group()


def _first() -> bool:
    return not distributed.is_initialized() or distributed.get_rank() == 0


def _at_rank_zero(work: Any) -> None:
    """Do something on rank 0; its error is raised there, and reported on all other ranks."""
    error: Exception | None = None
    if _first():
        try:
            work()
        except Exception as caught:
            error = caught
    said: list[Any] = [None if error is None else str(error)]
    if distributed.is_initialized():
        distributed.broadcast_object_list(said, src=0)
    if error is not None:
        raise error
    if said[0] is not None:
        raise StudyError(f"rank 0: {said[0]}")


@contextmanager
def _owned_at_rank_zero(planned: Plan, name: CellName, parts: PartCache) -> Generator[None]:
    """Keep other studies from training the networks of a cell during the block; rank 0 holds the lock."""
    with ExitStack() as stack:
        if distributed.is_initialized():
            _at_rank_zero(lambda: stack.enter_context(parts.owned(planned.pretraining(name))))
        yield
        _wait()


def _wait() -> None:
    if distributed.is_initialized():
        distributed.barrier()
