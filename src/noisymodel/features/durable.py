"""Writing so that a process that dies, or a power cut, at any moment leaves the old file or the new one."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

_PIECE = 1 << 22  # written and hashed while it is in the processor's cache


def write_durably(path: Path, pieces: Iterable[bytes | memoryview]) -> tuple[int, str]:
    """Write ``pieces`` as one file, and return its size and SHA-256.

    The bytes go to ``.NAME.partial`` and to the disk before the file gets its name; then the name goes to the disk.
    """
    partial = path.with_name(f".{path.name}.partial")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)
    try:
        file = os.open(partial, flags, 0o666)
        try:
            written = _write_all(file, pieces)
            os.fsync(file)
        finally:
            os.close(file)
        os.replace(partial, path)  # noqa: PTH105 - every call that changes the disk is one of `os`: tests cut them off
    except Exception:
        with contextlib.suppress(OSError):
            os.unlink(partial)  # noqa: PTH108 - see above
        raise
    sync_folder(path.parent)
    return written


def sync_folder(folder: Path) -> None:
    """Put the names in a folder on the disk, where the system can (Windows does so by itself)."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_all(file: int, pieces: Iterable[bytes | memoryview]) -> tuple[int, str]:
    digest = hashlib.sha256()
    size = 0
    for content in pieces:
        rest = memoryview(content).cast("B")
        while rest:
            done = os.write(file, rest[:_PIECE])
            digest.update(rest[:done])
            size += done
            rest = rest[done:]
    return size, digest.hexdigest()
