"""The page of likely mistakes: every block says exactly what the page prints below it."""

from __future__ import annotations

import contextlib
import io
import re
import sys
from pathlib import Path

import pytest
import torch

PAGE = Path(__file__).parent.parent / "docs" / "mistakes.md"
SECTION = re.compile(r"^## (.*?)\n(.*?)(?=^## |\Z)", re.DOTALL | re.MULTILINE)
PAIR = re.compile(r"```python\n(?P<code>.*?)```\n\n```text\n(?P<said>.*?)```", re.DOTALL)


def pairs() -> list[tuple[str, str, str]]:
    """(heading, code, what it prints) of every block."""
    text = PAGE.read_text(encoding="utf-8")
    return [
        (title, pair["code"], pair["said"]) for title, body in SECTION.findall(text) for pair in PAIR.finditer(body)
    ]


def test_there_are_ten_mistakes_each_with_a_block() -> None:
    text = PAGE.read_text(encoding="utf-8")
    titles = [title for title, _ in SECTION.findall(text)]
    assert len(titles) == 10
    assert {title for title, _, _ in pairs()} == set(titles)
    assert text.count("```python") == len(pairs())


@pytest.mark.parametrize(("title", "code", "said"), pairs(), ids=lambda value: value.split("\n")[0][:40])
def test_a_mistake_says_what_the_page_says(title: str, code: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)  # a block plays that it is not installed
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "matplotlib")
    printed = io.StringIO()
    with torch.random.fork_rng(), contextlib.redirect_stdout(printed):
        exec(compile(code, f"docs/mistakes.md, {title}", "exec"), {})  # noqa: S102 - running the page is the test
    assert printed.getvalue() == said
