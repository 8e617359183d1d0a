"""Which tests share a worker of ``pytest -n``: those of a file, of a few folders, and all that need several ranks.

What they share is then made once: the fixtures of a module, a study or its report, the four processes of ``ranks.py``.
xdist's own ``loadgroup`` groups nothing under pytest 9.2, and does not say so (pytest-xdist issue 1386).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from xdist.scheduler import LoadFileScheduling

FOLDERS = ("tests/study/export", "tests/study/report")
"""Their conftest.py has a whole study or report for the session."""


@cache
def of_ranks(path: Path) -> bool:
    return path.name.startswith("test_") and "on_ranks" in path.read_text("utf-8")


class Sharing(LoadFileScheduling):
    """Each worker gets whole files, or several that belong together."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        if of_ranks(self.config.rootpath / file):
            return "ranks"
        folder = file.rpartition("/")[0]
        return folder if folder in FOLDERS else file
