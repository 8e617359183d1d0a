"""Files are replaced whole or not at all; checksums are those of hashlib."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
import torch

from noisymodel.files import atomic, file_checksum, new_file, new_folder, write_file


def test_a_file_is_written_into_a_new_folder(tmp_path: Path) -> None:
    write_file(tmp_path / "a" / "b.bin", b"new")
    assert (tmp_path / "a" / "b.bin").read_bytes() == b"new"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.bin"]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "b.bin"
    write_file(path, b"old")

    def full(_: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        write_file(path, b"new")
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("size", [0, 1, 7, 8, 20])
def test_checksum_is_sha256_of_all_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(atomic, "_PIECE", 8)
    (tmp_path / "x").write_bytes(bytes(range(size)))
    assert file_checksum(tmp_path / "x") == hashlib.sha256(bytes(range(size))).hexdigest()


def test_size_and_checksum_are_those_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic, "_PIECE", 3)
    pieces = [b"abcdefgh", memoryview(bytearray(b"")), memoryview(torch.arange(3).numpy())]
    size, digest = write_file(tmp_path / "x", pieces)
    content = b"abcdefgh" + b"".join(value.to_bytes(8, "little") for value in range(3))
    assert (tmp_path / "x").read_bytes() == content
    assert (size, digest) == (len(content), hashlib.sha256(content).hexdigest())


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda file, content: real(file, bytes(content)[:5]))
    size, digest = write_file(tmp_path / "x", [bytes(range(100))])
    monkeypatch.undo()
    assert (tmp_path / "x").read_bytes() == bytes(range(100))
    assert (size, digest) == (100, hashlib.sha256(bytes(range(100))).hexdigest())


def test_a_library_writes_under_a_name_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "a" / "x"
    with new_file(path) as partial:
        partial.write_text("old")
    (tmp_path / "a" / ".x.partial").symlink_to(tmp_path / "planted")

    def fail() -> None:
        with new_file(path) as partial:
            partial.write_text("new")
            raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        fail()
    assert path.read_text() == "old"
    assert not (tmp_path / "planted").exists()
    assert sorted(one.name for one in path.parent.iterdir()) == [".x.partial", "x"]


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    with new_folder(tmp_path / "a" / "x") as partial:
        (partial / "file").write_text("whole")
        assert not (tmp_path / "a" / "x").exists()
    assert (tmp_path / "a" / "x" / "file").read_text() == "whole"

    def twice() -> None:
        with new_folder(tmp_path / "a" / "y") as partial:
            (partial / "file").write_text("late")
            (tmp_path / "a" / "y").mkdir()

    for attempt in (twice, twice):
        with pytest.raises(FileExistsError, match="y exists already"):
            attempt()
    assert sorted(one.name for one in (tmp_path / "a").iterdir()) == ["x", "y"]


def test_names_of_any_length_and_script_have_a_temporary_name(tmp_path: Path) -> None:
    for name in ("x" * 255, "\U0001f600" * 63, "日" * 85):
        write_file(tmp_path / name, b"content")
        assert (tmp_path / name).read_bytes() == b"content"
