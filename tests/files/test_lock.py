"""One at a time; a dead process, a fork and a name that is taken again hold nothing."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from noisymodel.files import Lock, LockedError


def test_the_second_is_told_who_has_it(tmp_path: Path) -> None:
    with Lock(tmp_path / "x.lock") as lock:
        with pytest.raises(LockedError, match=rf"process {os.getpid()} on "):
            Lock(tmp_path / "x.lock")
        for text in ("", "[1]", "[" * 100_000):
            lock.path.write_text(text)
            with pytest.raises(LockedError, match="another process"):
                Lock(tmp_path / "x.lock")
    assert not lock.held
    lock.release()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_was_left_is_no_lock(tmp_path: Path) -> None:
    (tmp_path / "x.lock").write_text(json.dumps({"pid": os.getpid(), "host": "this one, or a container's"}))
    with Lock(tmp_path / "x.lock") as lock:
        assert json.loads(lock.path.read_text())["pid"] == os.getpid()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_killed_holder_and_a_fork_hold_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    ready, tell = os.pipe()
    child = os.fork()
    if child == 0:
        lock = Lock(path)
        grandchild = os.fork()  # as a worker of a loader, which outlives its parent
        if grandchild == 0:
            os.write(tell, b"held" if lock.held else b"free")
            time.sleep(3)
            os._exit(0)
        time.sleep(30)
        os._exit(0)
    assert os.read(ready, 4) == b"free"
    with pytest.raises(LockedError, match=f"process {child} on"):
        Lock(path)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    Lock(path).release()


def test_a_planted_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("untouched")
    (tmp_path / "x.lock").symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match=r"."):
        Lock(tmp_path / "x.lock")
    assert (tmp_path / "target").read_text() == "untouched"
