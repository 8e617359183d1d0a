"""A sample of the kills and of the changes of files; all of them with ``-m slow``, or by the scripts themselves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SMALL = ("noise", "store", "extract", "embed", "from_npy")


def run(script: str, *arguments: str, seconds: int) -> str:
    """A script's last line; its processes are its own, since it forks and kills."""
    command = [sys.executable, str(HERE / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_some_kills() -> None:
    assert "runs that did not go on: 0; results that differed: 0" in run("kills.py", "11", *SMALL, seconds=120)


def test_some_changes_of_files() -> None:
    pytest.importorskip("pyarrow")
    assert "unclear: 0; silent in files with checksums: 0" in run("flips.py", "4", "1", seconds=120)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(("every", "runs"), [("1", SMALL), ("29", ("study",))])
def test_a_kill_at_every_step(every: str, runs: tuple[str, ...]) -> None:
    assert "runs that did not go on: 0; results that differed: 0" in run("kills.py", every, *runs, seconds=600)


@pytest.mark.slow
def test_many_changes_of_files() -> None:
    assert "unclear: 0; silent in files with checksums: 0" in run("flips.py", "150", "2", seconds=600)
