"""One writer at a time: a lock that the operating system gives back when its process ends, however it ends."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import sys
from pathlib import Path
from typing import IO
from weakref import WeakSet

from ..errors import FeatureStoreError

LOCK_NAME = "writer.lock"

if sys.platform == "win32":
    import msvcrt

    def _try_lock(file: int) -> None:
        os.lseek(file, 1 << 30, os.SEEK_SET)  # far behind the text, which stays readable
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _try_lock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


_HELD: WeakSet[WriterLock] = WeakSet()


class WriterLock:
    """The lock of the writer of a store, held from construction until `release`.

    It lies on an open file, so there are no stale locks: the system drops it with the process that held it, also after
    ``kill -9``. Processes forked from the holder (DataLoader workers) do not keep it alive. The text of the file says
    who holds it.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOCK_NAME
        self._file = _locked_file(self.path)
        self._file.truncate(0)
        self._file.write(json.dumps({"pid": os.getpid(), "host": platform.node()}).encode())
        self._file.flush()
        _HELD.add(self)

    @property
    def held(self) -> bool:
        """Whether this process still holds the lock; a forked copy of the process does not."""
        return not self._file.closed

    def release(self) -> None:
        """Let the next writer in; does nothing when the lock is released already."""
        if self.held:
            with contextlib.suppress(OSError):  # Windows deletes no open file
                self.path.unlink()
            self.forget()

    def forget(self) -> None:
        """Close this process's handle and leave the lock to whoever has another one."""
        self._file.close()


def _locked_file(path: Path) -> IO[bytes]:
    """The lock's file, open and locked."""
    while True:
        file = path.open("a+b")
        try:
            _try_lock(file.fileno())
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        except FileNotFoundError:
            pass  # released and deleted in between by its last holder: what was locked is a file without a name
        except (BlockingIOError, PermissionError):
            file.close()
            raise FeatureStoreError(
                f"{path.parent} is being written by {_holder(path)}: a store has one writer at a time; "
                f"wait for it, or end it ({path.name} is its lock)"
            ) from None
        except BaseException:
            file.close()
            raise
        file.close()


def _holder(path: Path) -> str:
    try:
        record = json.loads(path.read_bytes())
        return f"process {record['pid']} on {record['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def _forget_in_child() -> None:
    for lock in list(_HELD):
        lock.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
