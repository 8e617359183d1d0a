"""Execution of a study's parts: in this process, in others, on a cluster, by an array of jobs, by torchrun's ranks."""

from __future__ import annotations

from .execute import BACKENDS, execute, one_thread
from .pretraining_only import pretrain_study, process_group
from .shard import Shard

__all__ = ["BACKENDS", "Shard", "execute", "one_thread", "pretrain_study", "process_group"]
