"""Which cells a job of an array computes."""

from __future__ import annotations

import pytest

from noisymodel.errors import ConfigError
from noisymodel.study.execution import Shard


def test_shards_of_an_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLURM_ARRAY_TASK_ID", "RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigError, match="expected SLURM_ARRAY_TASK_ID"):
        Shard.parse("env")
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert Shard.parse("env") == Shard(1, 4)
    for name, value in {"TASK_ID": "7", "TASK_MIN": "3", "TASK_STEP": "2", "TASK_COUNT": "5"}.items():
        monkeypatch.setenv(f"SLURM_ARRAY_{name}", value)
    assert Shard.parse("env") == Shard(2, 5)
    for wrong in ("3", "3/3", "a/b", "-1/2", "1/0"):
        with pytest.raises(ConfigError, match="expected I/N"):
            Shard.parse(wrong)
