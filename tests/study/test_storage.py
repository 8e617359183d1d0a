"""Parts on disk: whole or not there, floats to the bit, names that change with the code."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest
import torch

from noisymodel.files import write_file
from noisymodel.study import storage
from noisymodel.study.storage import Storage, code_fingerprint


def test_json_comes_back_to_the_bit(tmp_path: Path) -> None:
    parts = Storage(tmp_path / "deep" / "cache")
    value = [0.1 + 0.2, math.pi, 1e-320, [1, "a", None]]
    assert parts.load_json("kind", "key") is None
    parts.save_json("kind", "key", value)
    assert parts.load_json("kind", "key") == value
    assert parts.load_json("other", "key") is None


def test_tensors_come_back_to_the_bit(tmp_path: Path) -> None:
    parts = Storage(tmp_path)
    tensors = {"a/b": torch.linspace(0, 1, 7), "c": torch.tensor(3)}
    assert parts.load_tensors("kind", "key") is None
    parts.save_tensors("kind", "key", tensors)
    loaded = parts.load_tensors("kind", "key")
    assert loaded is not None
    assert all(torch.equal(loaded[name], tensor) for name, tensor in tensors.items())


@pytest.mark.parametrize("keep", [0, 3, 20])
def test_what_is_not_whole_is_not_there(tmp_path: Path, keep: int) -> None:
    parts = Storage(tmp_path)
    parts.save_json("kind", "key", list(range(100)))
    parts.save_tensors("kind", "key", {"a": torch.arange(100)})
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:keep])
    assert parts.load_json("kind", "key") is None
    assert parts.load_tensors("kind", "key") is None


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_file(path, b"older")
    write_file(path, b"old")
    assert [(entry.name, entry.read_bytes()) for entry in tmp_path.iterdir()] == [("file", b"old")]

    def full_disk(_: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="no space left"):
        write_file(path, b"new")
    assert path.read_bytes() == b"old"


def test_not_a_number_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        Storage(tmp_path).save_json("kind", "key", float("nan"))


def test_code_fingerprint_changes_with_the_code_that_computes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "noisymodel"
    for name in ("study/storage.py", "study/cells.py", "study/report/page.py", "study/runner.py", "cli/study.py"):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text("x = 1\n")
    monkeypatch.setattr(storage, "__file__", str(package / "study/storage.py"))

    def fresh() -> str:
        code_fingerprint.cache_clear()
        return code_fingerprint()

    try:
        first = fresh()
        for name in ("study/report/page.py", "study/runner.py", "cli/study.py"):
            (package / name).write_text("x = 2\n")
        assert fresh() == first, "the report changes no number"
        (package / "study/cells.py").write_text("x = 2\n")
        assert fresh() != first
    finally:
        code_fingerprint.cache_clear()
