"""Atomic writes: if the process dies or the power fails at any moment, the old file or the new one remains."""

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

_PIECE = 1 << 22  # bytes written and hashed at a time: they fit into the processor's cache


def write_file(path: Path, content: bytes | Iterable[bytes | memoryview]) -> tuple[int, str]:
    """Replace a file in one step, and return the new file's size and SHA-256.

    The bytes are written to ``.NAME.RANDOM.partial`` beside the file and synchronised to the disk. Then this file is
    renamed, and the folder is synchronised. The temporary name is unique and never follows a link. Missing parent
    folders are created.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
    with new_file(path) as partial:
        file = os.open(partial, flags, 0o666)
        try:
            return _write_all(file, [content] if isinstance(content, bytes) else content)
        finally:
            os.close(file)


def partial_name(path: Path) -> Path:
    """The temporary name ``.NAME.RANDOM.partial`` beside a file or folder, used until it is complete."""
    return path.with_name(f".{path.name[:48]}.{secrets.token_hex(6)}.partial")


def partials_of(path: Path) -> list[Path]:
    """The incomplete temporary files of a file or folder: leftovers, if the caller knows that no writer is alive."""
    name = re.compile(re.escape(f".{path.name[:48]}.") + r"[0-9a-f]{12}\.partial")
    return [one for one in path.parent.iterdir() if name.fullmatch(one.name)] if path.parent.is_dir() else []


@contextmanager
def new_file(path: Path) -> Generator[Path]:
    """Yield a temporary name, for a library that writes files itself; rename it to ``path`` if the block succeeds."""
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
        os.replace(partial, path)  # noqa: PTH105 - all changes of the disk are calls of `os`, so that tests can interrupt them
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(partial)  # noqa: PTH108 - see above
        raise
    sync_folder(path.parent)


@contextmanager
def new_folder(path: Path) -> Generator[Path]:
    """Yield a temporary folder beside ``path``; rename it to ``path`` if the block succeeds, else delete it.

    Raises:
        FileExistsError: ``path`` exists, before the block or after it; it does not change.
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
    """Raise unless a file can be written into a folder, to fail before the work. No file remains.

    Raises:
        OutputFolderError: the path is a file, its name is too long, or the system forbids writing.
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
    """Synchronise the names in a folder to the disk, if the system can (Windows does so by itself)."""
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
