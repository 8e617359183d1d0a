"""WebDataset shards: uncompressed tar files, indexed by one pass over their headers and then read by position.

Nothing is unpacked, and only texts and labels are kept in memory. A picture costs one seek and one read, so every order
of rows is as cheap as that in the shards. Only Python's standard library is needed.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from tarfile import TarFile, TarInfo
from typing import Any, NamedTuple

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


class ShardPictures(NamedTuple):
    """Pictures within tar files."""

    shards: Sequence[Path]
    members: NDArray[np.int64]
    """``(n, 3)``: for each picture the number of its shard, its offset in it, and its size."""
    keys: Sequence[str]

    def name(self, row: int) -> str:
        """The shard, and the sample in it."""
        return f"{self.shards[self.members[row, 0]]}, sample {self.keys[row]}"

    def read(self, row: int) -> Any:
        """Decoded by PIL."""
        shard, offset, size = self.members[row].tolist()
        with self.shards[shard].open("rb") as file:
            file.seek(offset)
            return opened(file.read(size))


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
        for key, picture, fields in _samples(shard, wanted):
            if picture is None:
                raise InputFileError(f"{shard}, sample {key}: it has no picture ({', '.join(PICTURES)})")
            keys.append(key)
            members.extend((number, picture.offset_data, picture.size))
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


def _samples(shard: Path, wanted: Mapping[str, str]) -> Iterator[tuple[str, TarInfo | None, dict[str, str]]]:
    """Yield (key, picture, {role: text}) of each sample; its members must be adjacent."""
    places = {role: name.partition(":") for role, name in wanted.items()}
    for key, members in groupby(read_members(shard), lambda found: sample_key(found[1].name)[0]):
        picture, texts = None, dict[str, str]()
        for archive, member in members:
            field = sample_key(member.name)[1]
            keys = {role: inner for role, (name, _, inner) in places.items() if name == field}
            if f".{field}" in PICTURES:
                picture = member
            elif keys and member.size <= _SMALL:
                texts |= _texts(archive, member, keys, shard)
        if key:
            yield key, picture, texts


def _texts(archive: TarFile, member: TarInfo, keys: Mapping[str, str], shard: Path) -> dict[str, str]:
    """The whole text of a member by role, or its value of a key of JSON, if it has one."""
    file = archive.extractfile(member)
    try:
        text = (b"" if file is None else file.read()).decode()
        values = {role: parse_json(text).get(key) if key else text.strip() for role, key in keys.items()}
    except (ValueError, AttributeError) as error:
        raise InputFileError(f"{shard}, {member.name}: {error}") from None
    return {role: str(value) for role, value in values.items() if value is not None}
