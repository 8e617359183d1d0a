"""Files are replaced whole or not at all; checksums are those of hashlib."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from noisymodel import _files
from noisymodel._files import file_checksum, replace_file


def test_a_file_is_written_into_a_new_folder(tmp_path: Path) -> None:
    replace_file(tmp_path / "a" / "b.bin", b"new")
    assert (tmp_path / "a" / "b.bin").read_bytes() == b"new"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.bin"]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "b.bin"
    replace_file(path, b"old")

    def full(_: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        replace_file(path, b"new")
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("size", [0, 1, 7, 8, 20])
def test_checksum_is_sha256_of_all_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(_files, "_PIECE", 8)
    (tmp_path / "x").write_bytes(bytes(range(size)))
    assert file_checksum(tmp_path / "x") == hashlib.sha256(bytes(range(size))).hexdigest()
