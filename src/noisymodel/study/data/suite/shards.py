"""WebDataset shards: uncompressed tar files, indexed by one pass over their headers and then read by position.

Nothing is unpacked, and only texts and labels are kept in memory. A picture costs one seek and one read, so every order
of rows is as cheap as that in the shards. Only Python's standard library is needed.
"""

from __future__ import annotations

import sys
import tarfile
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from ....errors import InputFileError
from ....features.extraction.files import PICTURES
from ....files.reading import parse_json
from ....noise_files.shards import read_members, sample_key
from .declaration import SetTable
from .pictures import opened
from .places import matching
from .rows import Found

_SMALL = 1 << 20


class Member(NamedTuple):
    """The place of a file within a shard."""

    shard: int
    offset: int
    size: int


class ShardPictures(NamedTuple):
    """Pictures within tar files."""

    shards: Sequence[Path]
    members: NDArray[np.int64]
    """``(n, 3)``: a :class:`Member` each."""
    keys: Sequence[str]

    def name(self, row: int) -> str:
        """The shard, and the sample in it."""
        return f"{self.shards[self.members[row, 0]]}, sample {self.keys[row]}"

    def read(self, row: int) -> Any:
        """Decoded by PIL."""
        member = Member(*self.members[row].tolist())
        with self.shards[member.shard].open("rb") as file:
            file.seek(member.offset)
            return opened(file.read(member.size))


def read_shards(path: Path, table: SetTable) -> Found:
    """Samples of a picture (``.jpg``, ``.png``, ...) with its label (``.cls``), caption (``.txt``) or both.

    ``label_column`` and ``caption_column`` name other members; ``json:NAME`` is a key of the member ``.json``.
    """
    shards = sorted(path.glob("*.tar")) if path.is_dir() else matching(path)
    if not shards:
        raise InputFileError(f"{path} holds no .tar shards")
    wanted = {"label": table.label_column or "cls", "caption": table.caption_column or "txt"}
    keys: list[str] = []
    members = array("q")  # 24 bytes a sample: there may be millions
    texts: dict[str, list[str]] = {role: [] for role in wanted}
    for number, shard in enumerate(shards):
        for key, picture, fields in _samples(shard, number, wanted):
            if picture is None:
                raise InputFileError(f"{shard}, sample {key}: it has no picture ({', '.join(PICTURES)})")
            keys.append(key)
            members.extend(picture)
            for role, text in fields.items():
                texts[role].append(sys.intern(text) if role == "label" else text)
    for role, found in texts.items():
        declared = table.label_column if role == "label" else table.caption_column
        if len(found) != len(keys) and (found or declared):
            raise InputFileError(f"{path}: {len(found)} of {len(keys)} samples have a .{wanted[role]} with the {role}")
    return Found(
        str(path),
        keys,
        texts["label"] or None,
        pictures=ShardPictures(shards, np.asarray(members, dtype=np.int64).reshape(-1, 3), keys),
        captions=texts["caption"] or None,
        files=tuple(shards),
    )


def _samples(shard: Path, number: int, wanted: dict[str, str]) -> Iterator[tuple[str, Member | None, dict[str, str]]]:
    """Yield (key, picture, {role: text}) of each sample; its members must be adjacent."""
    pending, picture, fields = "", None, dict[str, str]()
    for archive, member in read_members(shard):
        key, field = sample_key(member.name)
        if key != pending:
            if pending:
                yield pending, picture, fields
            pending, picture, fields = key, None, {}
        if f".{field}" in PICTURES:
            picture = Member(number, member.offset_data, member.size)
        else:
            _take_texts(archive, member, field, wanted, fields, shard)
    if pending:
        yield pending, picture, fields


def _take_texts(
    archive: tarfile.TarFile,
    member: tarfile.TarInfo,
    field: str,
    wanted: dict[str, str],
    fields: dict[str, str],
    shard: Path,
) -> None:
    roles = {role: name for role, name in wanted.items() if field in (name, name.partition(":")[0])}
    if not roles or member.size > _SMALL:
        return
    file = archive.extractfile(member)
    try:
        text = (b"" if file is None else file.read()).decode()
        for role, name in roles.items():
            if name == field:
                fields[role] = text.strip()
            else:
                value = cast("dict[str, Any]", parse_json(text)).get(name.partition(":")[2])
                if value is not None:
                    fields[role] = str(value)
    except (UnicodeDecodeError, ValueError, AttributeError) as error:
        raise InputFileError(f"{shard}, {member.name}: {error}") from None
