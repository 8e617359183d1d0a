"""Which tests share a worker of ``pytest -n``: those of a file, and all files whose tests need several ranks.

A fixture of a module is then made once, and the four processes of ``ranks.py`` start once. xdist's own ``loadgroup``
groups nothing under pytest 9.2, and does not say so (pytest-xdist issue 1386).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from xdist.scheduler import LoadFileScheduling


@cache
def of_ranks(path: Path) -> bool:
    return path.name.startswith("test_") and "on_ranks" in path.read_text("utf-8")


class Sharing(LoadFileScheduling):
    """Each worker gets whole files; all files of ranks are one."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "ranks" if of_ranks(self.config.rootpath / file) else file
