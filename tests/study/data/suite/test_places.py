"""Patterns of paths."""

from __future__ import annotations

from pathlib import Path

import pytest

from noisymodel.errors import InputFileError
from noisymodel.study.data.suite.places import expand_braces, matching
from study.data.suite.lookalikes import write


def test_braces() -> None:
    assert expand_braces("x") == ["x"]
    assert expand_braces("{a,b}/{1..2}") == ["a/1", "a/2", "b/1", "b/2"]
    assert expand_braces("{}") == ["{}"], "a place to fill, no choice"
    assert expand_braces("s-{098..101}.tar")[-1] == "s-101.tar"


def test_stars_are_sorted_and_hidden_files_are_none(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv", ".a.csv", "deep/c.csv"):
        write(tmp_path / name, "")
    assert [path.name for path in matching(tmp_path / "*.csv")] == ["a.csv", "b.csv"]
    assert [path.name for path in matching(tmp_path / "*" / "c.csv")] == ["c.csv"]
    assert [path.name for path in matching(tmp_path / "{b,a}.csv")] == ["b.csv", "a.csv"], "as they are named"


@pytest.mark.parametrize("pattern", ["x.csv", "*.txt", "{a,x}.csv", "a.{csv,txt}"])
def test_every_part_must_be_there(tmp_path: Path, pattern: str) -> None:
    write(tmp_path / "a.csv", "")
    with pytest.raises(InputFileError, match="there is nothing at"):
        matching(tmp_path / pattern)
