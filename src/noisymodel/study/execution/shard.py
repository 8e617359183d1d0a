"""The cells of one job in an array of jobs."""

from __future__ import annotations

import os
from dataclasses import dataclass

from ...errors import ConfigError


@dataclass(frozen=True)
class Shard:
    """One of ``count`` equal parts of a study's cells: the cells whose number is ``index`` modulo ``count``."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """``"3/8"``, counted from 0, or ``"env"``: a task of a Slurm array, or a process of torchrun.

        Raises:
            ConfigError: any other text, or an environment of neither.

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
