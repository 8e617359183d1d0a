"""Where the parts of a study are computed: this process, others, a cluster, an array of jobs, ranks of torchrun."""

from __future__ import annotations

from .execute import BACKENDS, execute, missing_parts, one_thread
from .pretraining_only import pretrain_study, process_group
from .shard import Shard

__all__ = ["BACKENDS", "Shard", "execute", "missing_parts", "one_thread", "pretrain_study", "process_group"]
