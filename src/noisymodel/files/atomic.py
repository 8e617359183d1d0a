"""Atomic writes: a process that dies, or a power cut, at any moment leaves the old file or the new one."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path

from ..errors import OutputFolderError
from .reading import reason, shown

_PIECE = 1 << 22  # bytes that are written and hashed while they are in the processor's cache


def write_file(path: Path, content: bytes | Iterable[bytes | memoryview]) -> tuple[int, str]:
    """Replace a file in one step, and return the new file's size and SHA-256.

    The bytes go to ``.NAME.RANDOM.partial`` beside it and to the disk; then the file gets its name; then the name
    goes to the disk. The temporary name is unique and never follows a link. Parent folders are made.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
    with new_file(path) as partial:
        file = os.open(partial, flags, 0o666)
        try:
            return _write_all(file, [content] if isinstance(content, bytes) else content)
        finally:
            os.close(file)


def partial_name(path: Path) -> Path:
    """``.NAME.RANDOM.partial`` beside a file or folder, for what will have its name when it is complete."""
    return path.with_name(f".{path.name[:48]}.{secrets.token_hex(6)}.partial")


def partials_of(path: Path) -> list[Path]:
    """What writers of a file or folder have not completed: dead ones, where the caller knows that none is alive."""
    name = re.compile(re.escape(f".{path.name[:48]}.") + r"[0-9a-f]{12}\.partial")
    return [one for one in path.parent.iterdir() if name.fullmatch(one.name)] if path.parent.is_dir() else []


@contextmanager
def new_file(path: Path) -> Generator[Path]:
    """A temporary name for a library that writes files itself; the file becomes ``path`` when the block succeeds."""
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_name(path)
    try:
        yield partial
        file = os.open(partial, os.O_RDWR | getattr(os, "O_BINARY", 0))
        try:
            os.fsync(file)
        finally:
            os.close(file)
        os.replace(partial, path)  # noqa: PTH105 - every call that changes the disk is one of `os`: tests cut them off
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(partial)  # noqa: PTH108 - see above
        raise
    sync_folder(path.parent)


@contextmanager
def new_folder(path: Path) -> Generator[Path]:
    """A temporary folder beside ``path``, which becomes ``path`` when the block succeeds and is deleted when it fails.

    Raises:
        FileExistsError: there is something at ``path``, before the block or after it; it is left as it is.
    """
    _check_nothing_at(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_name(path)
    os.mkdir(partial)  # noqa: PTH102 - see above
    try:
        yield partial
        _check_nothing_at(path)
        os.rename(partial, path)  # noqa: PTH104 - see above
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    sync_folder(path.parent)


def check_writable(folder: Path) -> None:
    """Raise unless a file can be written into a folder: better before the work than after it. Nothing is left behind.

    Raises:
        OutputFolderError: it is a file, its name is too long, or the system lets nobody write there.
    """
    made = [one for one in (folder, *folder.parents) if not os.path.lexists(one)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (OSError, ValueError) as error:
        raise OutputFolderError(f"{shown(folder)} cannot be written to ({reason(error)}): name another") from None
    finally:
        for one in made:
            with contextlib.suppress(OSError, ValueError):
                one.rmdir()


def _check_nothing_at(path: Path) -> None:
    if os.path.lexists(path):
        raise FileExistsError(f"{path} exists already: choose a path that does not")


def sync_folder(folder: Path) -> None:
    """Put the names in a folder on the disk, where the system can (Windows does so by itself)."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def file_checksum(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal, read piece by piece."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


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
