"""A lock for one process at a time; the operating system releases it when the process ends, however it ends."""

from __future__ import annotations

import contextlib
import json
import os
import platform
from pathlib import Path
from typing import Self

from filelock import FileLock, Timeout

from .reading import parse_json


class LockedError(RuntimeError):
    """Another holder has the lock; the message names it, if the lock's file does."""


class Lock:
    """An exclusive lock on a file, held from construction until `release`, which deletes the file.

    The lock belongs to the open file, so it is never stale: the system releases it with its process, also after
    ``kill -9``. Processes forked from the holder (DataLoader workers) neither have the lock nor keep it alive. The text
    of the file names the holder, only for messages. The file must not be a link.

    Raises:
        LockedError: another process, or another lock of this one, has it.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "writer.lock"
    >>> with Lock(path) as lock:
    ...     lock.held, path.exists()
    (True, True)
    >>> path.exists()
    False
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = FileLock(path, timeout=0, thread_local=False)
        try:
            self._lock.acquire()
        except Timeout:
            raise LockedError(_holder(path)) from None
        with contextlib.suppress(OSError):  # Windows forbids writing into a locked file
            path.write_text(json.dumps({"pid": os.getpid(), "host": platform.node()}), encoding="utf-8")

    @property
    def held(self) -> bool:
        """Whether this process still holds the lock; a forked copy of the process does not."""
        return self._lock.is_locked

    def release(self) -> None:
        """Release the lock; a second call does nothing."""
        if self.held:
            with contextlib.suppress(OSError):  # Windows cannot delete an open file
                self.path.unlink()
            self._lock.release(force=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _holder(path: Path) -> str:
    try:
        record = parse_json(path.read_bytes())
        return f"process {record['pid']} on {record['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
