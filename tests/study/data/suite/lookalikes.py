"""Tiny data in the layouts that a suite reads."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from noisymodel.study.data.suite.declaration import SetTable, SuiteTable, read_declaration
from noisymodel.study.data.suite.opening import open_set
from noisymodel.study.data.suite.presets import expand_presets
from noisymodel.study.data.suite.rows import Rows

NAMES = ("ant", "bee", "cat", "dog")


def pixels(shade: int, size: tuple[int, int] = (6, 5), channels: int = 3) -> np.ndarray:
    """One shade all over, so that a picture can be told by its mean."""
    return np.full((*size, channels), shade, dtype=np.uint8)


def encoded(shade: int, ending: str = "PNG", size: tuple[int, int] = (6, 5)) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels(shade, size)).save(content, ending)
    return content.getvalue()


def write(path: Path, content: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def folder(root: Path, names: Sequence[str] = NAMES, count: int = 3, suffix: str = ".png", first: int = 0) -> Path:
    """A folder for each class; the shade of a picture is 10·class + number + ``first``."""
    for number, name in enumerate(names):
        for row in range(count):
            write(root / name / f"{row}{suffix}", encoded((10 * number + row + first) % 256))
    return root


def many_folders(root: Path, names: Sequence[str], suffix: str = ".jpg", count: int = 1) -> Path:
    """The same picture in many folders."""
    content = encoded(9)
    for name in names:
        for row in range(count):
            write(root / name / f"{row}{suffix}", content)
    return root


def tar(path: Path, members: Mapping[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def shard(path: Path, first: int, count: int = 3, caption: str | None = "a picture") -> Path:
    members: dict[str, bytes] = {}
    for row in range(first, first + count):
        members[f"{row:05d}.jpg"] = encoded(10 * row, "JPEG")
        members[f"{row:05d}.cls"] = str(row % 2).encode()
        if caption is not None:
            members[f"{row:05d}.txt"] = f"{caption} {row}".encode()
        members[f"{row:05d}.json"] = json.dumps({"alt": f"alt {row}", "width": 5}).encode()
    return tar(path, members)


def opened(suite_root: Path | None = None, **values: Any) -> Rows:
    """A set that is declared by keywords."""
    root = "" if suite_root is None else str(suite_root)
    return open_set(SetTable(**values), "suite.pretraining", SuiteTable(root=root))


def declared_sets(values: Mapping[str, Any]) -> dict[str, SetTable]:
    """Every set of a table ``suite`` by its key, without looking for any file."""
    return read_declaration(expand_presets(values)).sets()


def suite(root: Path, **changes: Any) -> dict[str, Any]:
    """A whole suite of folders in ``root``, made where it is not there."""
    if not (root / "train").is_dir():
        folder(root / "pre", ("up", "down"), 4)
        folder(root / "check", ("up", "down"), 2, first=100)
        folder(root / "train", count=4)
        folder(root / "test", count=2, first=4)
        folder(root / "dark", ("bee", "dog"), 2, first=7)
    own = {
        "root": str(root),
        "pictures": {"size": 4},
        "pretraining": {"path": "pre"},
        "pretraining_check": {"path": "check"},
        "tasks": [
            {
                "name": "animals",
                "train": {"path": "train"},
                "test": {"path": "test"},
                "shifts": [{"name": "dark", "description": "darker", "path": "dark"}],
            }
        ],
    }
    return own | changes
