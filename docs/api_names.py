"""The names on the pages of ``docs/api``, and the index of them by task: ``conf.py`` and a test ask here."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

FOLDER = Path(__file__).parent / "api"
DIRECTIVE = re.compile(r"^\.\. (?P<directive>\w+):: (?P<name>\S+)(?P<bare>\n   :no-members:)?", re.MULTILINE)


def entries(page: str) -> list[str]:
    """The full names that a page documents, in its order; ``automodule`` documents all public names of a module."""
    found: list[str] = []
    module = ""
    for match in DIRECTIVE.finditer((FOLDER / f"{page}.md").read_text(encoding="utf-8")):
        if match["directive"] not in ("automodule", "currentmodule"):
            found.append(f"{module}.{match['name']}")
            continue
        module = match["name"]
        if match["directive"] == "automodule" and not match["bare"]:
            found += [f"{module}.{name}" for name in importlib.import_module(module).__all__]
    return found


def with_tables(text: str) -> str:
    """The index with a table of names and summaries in the place of each ``<!-- names of PAGES -->``."""
    return re.sub(r"<!-- names of ([\w ]+) -->", lambda found: "\n".join(map(_table, found[1].split())), text)


def _table(page: str) -> str:
    heading = (FOLDER / f"{page}.md").read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
    names = "\n".join(f"   ~{name}" for name in entries(page))
    return f"**[{heading}]({page}.md)**\n\n```{{eval-rst}}\n.. autosummary::\n   :nosignatures:\n\n{names}\n```\n"
