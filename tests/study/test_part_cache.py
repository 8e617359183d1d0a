"""Parts on disk: whole or not there, floats to the bit, and nobody's but their identity's."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import pytest
import torch

from noisymodel.files import write_file
from noisymodel.study.identity import Identity
from noisymodel.study.part_cache import PartCache, Values

IDENTITY = Identity("tuning", {"source": "glyphs"}, {"objective": "supervised"}, {"rates": [0.0, 0.1]}, seed=3)
VALUES = Values(
    [(0.1 + 0.2, "none", "accuracy", 1e-320), (0.0, "salt", "accuracy", math.pi)], "mlp-4", {"none": [[1.0, 0.5]]}
)


def test_values_come_back_to_the_bit(tmp_path: Path) -> None:
    parts = PartCache(tmp_path / "deep" / "cache")
    assert parts.load(IDENTITY) is None
    parts.save(IDENTITY, VALUES)
    assert parts.load(IDENTITY) == VALUES
    assert parts.load(IDENTITY, curves=True) is None, "there are none"
    curved = VALUES._replace(curves=[(0.0, "none", "training_loss", 0.25, 1)])
    parts.save(IDENTITY, curved)
    assert parts.load(IDENTITY, curves=True) == curved


def test_networks_come_back_to_the_bit(tmp_path: Path) -> None:
    parts = PartCache(tmp_path)
    states = [{"a.b": torch.linspace(0, 1, 7)}, {"a.b": torch.ones(7)}]
    assert parts.load_networks(IDENTITY) is None
    assert not parts.has_networks(IDENTITY)
    parts.save_networks(IDENTITY, states)
    loaded = parts.load_networks(IDENTITY)
    assert loaded is not None
    assert parts.has_networks(IDENTITY)
    assert all(torch.equal(one["a.b"], other["a.b"]) for one, other in zip(states, loaded, strict=True))


def test_what_cannot_be_read_is_not_there(tmp_path: Path) -> None:
    parts = PartCache(tmp_path)
    parts.save(IDENTITY, VALUES)
    whole = parts.path(IDENTITY).read_bytes()
    held = json.loads(whole)
    wrong: list[object] = [{}, [], None, 3, "text", {**held, "numbers": []}, {**held, "numbers": [[0.0, "none"]]}]
    wrong += [{**held, "numbers": [[0.0, "none", "accuracy", "high"]]}, {**held, "more": 1}, {**held, "identity": {}}]
    wrong += [{key: value for key, value in held.items() if key != "identity"}, {**held, "spectra": [1]}]
    for content in [whole[:-1], whole[:20], b"", b"\xff\xfe", *(json.dumps(value).encode() for value in wrong)]:
        parts.path(IDENTITY).write_bytes(content)
        assert parts.load(IDENTITY) is None, content
    parts.save_networks(IDENTITY, [{"a": torch.arange(100)}, {"a": torch.arange(100)}])
    path = parts.path(IDENTITY, ".safetensors")
    content = path.read_bytes()
    for keep in (0, 3, 20, len(content) - 1):
        path.write_bytes(content[:keep])
        assert parts.load_networks(IDENTITY) is None
        assert not parts.has_networks(IDENTITY)


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_file(path, b"old")

    def full_disk(_: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="no space left"):
        write_file(path, b"new")
    assert path.read_bytes() == b"old"


def test_not_a_number_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        PartCache(tmp_path).save(IDENTITY, Values([(0.0, "none", "accuracy", float("nan"))]))
