"""WebDataset shards: tar files of samples, read and written member by member without unpacking."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from ..errors import InputFileError
from ..files import check_file
from ..files.reading import files_of, reason, shown


class Field(NamedTuple):
    """One member of a sample."""

    shard: Path
    key: str
    text: str


def is_shards(source: Path) -> bool:
    """Whether a path is a tar file or a folder of tar files."""
    return source.suffix.lower() == ".tar" or (source.is_dir() and any(source.glob("*.tar")))


def shards_of(path: Path) -> list[Path]:
    """The tar file itself, or all tar files of a folder, sorted by name.

    Raises:
        InputFileError: there is no tar file, or a pipe, a folder or a device has the name of one.
    """
    return [check_file(shard) for shard in files_of(path, ".tar")]


def sample_key(name: str) -> tuple[str, str]:
    """(key, field) of a member's name, split as WebDataset does: at the first dot of its last part.

    >>> sample_key("train/00012.seg.png")
    ('train/00012', 'seg.png')
    """
    folder, slash, base = name.rpartition("/")
    stem, _, field = base.partition(".")
    return folder + slash + stem, field.lower()


def read_fields(shards: list[Path], field: str) -> Iterator[Field]:
    """Yield the text of the member ``field`` of every sample; a sample without it is an error."""
    for shard in shards:
        pending, seen = "", False
        for archive, member in read_members(shard):
            key, own = sample_key(_name(shard, member))
            if key != pending:
                if pending and not seen:
                    raise InputFileError(f"{shard}, sample {pending}: it has no .{field}")
                pending, seen = key, False
            if own == field:
                seen = True
                yield Field(shard, key, _text(shard, key, _content(archive, member, shard)))
        if pending and not seen:
            raise InputFileError(f"{shard}, sample {pending}: it has no .{field}")


def write_shard(shard: Path, out: Path, field: str, change: Callable[[str, str], str | None]) -> None:
    """Copy a shard with ``change(key, text)`` in the member ``field``; None keeps the text."""
    with tarfile.open(out, "w", format=tarfile.PAX_FORMAT) as target:
        for archive, member in read_members(shard):
            content = _content(archive, member, shard)
            key, own = sample_key(member.name)
            if own == field:
                new = change(key, _text(shard, key, content))
                content = content if new is None else new.encode()
            member.size = len(content)
            target.addfile(member, io.BytesIO(content))


def read_members(shard: Path) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    """Yield the files within a shard in order; a damaged or truncated shard is an error."""
    last = "its beginning"
    try:
        with tarfile.open(shard, "r:") as archive:
            for member in archive:
                if member.isfile():
                    yield archive, member
                    last = member.name
            _check_end(shard, archive)
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        if isinstance(error, InputFileError):
            raise
        raise InputFileError(f"{shown(shard)} is damaged after {shown(last)}: {reason(error)}") from None


def _name(shard: Path, member: tarfile.TarInfo) -> str:
    try:
        member.name.encode()
    except UnicodeEncodeError:
        raise InputFileError(f"{shown(shard)}: the name {shown(member.name)} is no UTF-8, so no key") from None
    return member.name


def _check_end(shard: Path, archive: tarfile.TarFile) -> None:
    """Check that a tar file ends with blocks of zeros; without them it was cut off between two members."""
    with shard.open("rb") as file:
        file.seek(archive.offset)
        if file.read(tarfile.BLOCKSIZE).count(0) != tarfile.BLOCKSIZE and shard.stat().st_size > 0:
            raise InputFileError(f"{shard} is damaged: it has no end, so something is missing")


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo, shard: Path) -> bytes:
    file = archive.extractfile(member)
    content = b"" if file is None else file.read()
    if len(content) != member.size:
        raise InputFileError(f"{shard} is cut off inside {member.name}")
    return content


def _text(shard: Path, key: str, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise InputFileError(f"{shard}, sample {key}: no UTF-8 text") from None
