from __future__ import annotations

import contextlib
import json
import os
from functools import partial
from pathlib import Path

import pytest
import torch

from noisymodel import LinearProbe, MLPProbe, NMTune
from noisymodel.heads import files


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def folder(tmp_path):
    NMTune(6, 4, generator=generator()).save_pretrained(tmp_path)
    return tmp_path


def edit(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_missing(folder, missing):
    (folder / missing).unlink()
    with pytest.raises(FileNotFoundError, match=f"has no {missing}: it must be a folder that save_pretrained wrote"):
        NMTune.from_pretrained(folder)


def test_another_head(folder):
    with pytest.raises(ValueError, match=r"holds a NMTune, not a MLPProbe: load it by NMTune\.from_pretrained"):
        MLPProbe.from_pretrained(folder)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"head": "NMTune", "arguments": 3, "sha256": ""}'])
def test_damaged_configuration(folder, content):
    (folder / "config.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"config\.json is damaged or not a head's configuration"):
        NMTune.from_pretrained(folder)


@pytest.mark.parametrize("size", [0, 4, 200, -1])
def test_truncated_weights(folder, size):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ValueError, match=r"model\.safetensors is damaged or no safetensors file"):
        NMTune.from_pretrained(folder)


def test_one_flipped_bit(folder):
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-10] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"the checksums differ\): save the head anew"):
        NMTune.from_pretrained(folder)


def test_weights_of_another_save(folder, tmp_path):
    NMTune(6, 4, generator=generator(1)).save_pretrained(tmp_path / "other")
    (tmp_path / "other" / "model.safetensors").replace(folder / "model.safetensors")
    with pytest.raises(ValueError, match="the checksums differ"):
        NMTune.from_pretrained(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"in_features": 7}, "size mismatch"),
        ({"num_classes": 0}, "Unexpected key"),
        ({"depth": 2}, "Missing key"),
        ({"depth": -1}, "`depth` must be at least 1"),
        ({"width": 3}, "unexpected keyword argument 'width'"),
    ],
)
def test_configuration_that_does_not_fit(folder, change, message):
    arguments = json.loads((folder / "config.json").read_text())["arguments"]
    edit(folder, arguments={**arguments, **change})
    with pytest.raises(ValueError, match=rf"does not hold a NMTune of this version: [\s\S]*{message}"):
        NMTune.from_pretrained(folder)


def test_files_are_replaced(folder):
    LinearProbe(3, 2, generator=generator()).save_pretrained(folder)
    assert LinearProbe.from_pretrained(folder).in_features == 3


def test_a_death_while_writing_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    files.write_file(path, b"old")

    def die(_descriptor):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", die)
        with pytest.raises(KeyboardInterrupt):
            files.write_file(path, b"new content")
    assert path.read_bytes() == b"old"
    files.write_file(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_tensors_and_record_come_back(tmp_path):
    transposed = torch.arange(6.0).reshape(2, 3).T
    record = {"history": [{"loss": 0.1}], "seed": 2**61 + 1}
    files.write_file(tmp_path / "a", files.encode_tensors({"x": transposed, "n": torch.tensor(3)}, record))
    tensors, read = files.read_tensors(tmp_path / "a")
    assert torch.equal(tensors["x"], transposed)
    assert tensors["n"].item() == 3
    assert read == record


def test_loading_leaves_no_pickle(folder):
    assert {path.suffix for path in Path(folder).iterdir()} == {".json", ".safetensors"}
    assert b"pickle" not in (folder / "model.safetensors").read_bytes()


def test_a_death_between_the_files_leaves_one_of_the_two_heads(tmp_path, monkeypatch):
    """Whichever write is the last, and also where a death comes after a death."""
    old = MLPProbe(6, 4, generator=generator(1))
    written = files.write_file
    for first in range(4):
        for second in range(4):
            folder = tmp_path / f"{first}{second}"
            old.save_pretrained(folder)
            for number, allowed in enumerate([first, second], start=2):
                left = [allowed]

                def write(path, content, left=left):
                    left[0] -= 1
                    if left[0] < 0:
                        raise KeyboardInterrupt
                    return written(path, content)

                with monkeypatch.context() as patched:
                    patched.setattr(files, "write_file", write)
                    with contextlib.suppress(KeyboardInterrupt):
                        NMTune(5, number, generator=generator(number)).save_pretrained(folder)
            kind = json.loads((folder / "config.json").read_text())
            loaded = next(found for found in map(partial(attempt, folder), (NMTune, MLPProbe)) if found is not None)
            assert loaded.num_classes in (2, 3, 4)
            assert loaded.num_classes == 3 or second < 3, kind
            assert loaded.num_classes != 4 or max(first, second) < 3


def attempt(folder, kind):
    with contextlib.suppress(ValueError):
        return kind.from_pretrained(folder)


def test_heads_of_earlier_versions_mean_what_they_meant(tmp_path):
    for make, options in ((NMTune, {"input_noise": 0.0}), (MLPProbe, {}), (LinearProbe, {})):
        head = make(6, 4, normalize=None, generator=generator(), **options).eval()
        head.save_pretrained(tmp_path)
        arguments = json.loads((tmp_path / "config.json").read_text())["arguments"]
        for name in ("normalize", "input_noise"):
            arguments.pop(name, None)
        edit(tmp_path, arguments=arguments)
        loaded = make.from_pretrained(tmp_path)
        assert loaded.config() == head.config()
        features = torch.randn(5, 6, generator=generator(3)) * 7
        assert torch.equal(loaded(features), head(features))
