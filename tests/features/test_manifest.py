"""The manifest: every byte of it is checked."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from noisymodel.features import FeatureStore, FeatureStoreError
from noisymodel.features.manifest import Manifest


def rewritten(store: FeatureStore, **changes: object) -> None:
    """Change entries of the manifest and sign it anew, as docs/features_format.md describes."""
    path = store.path / "manifest.json"
    record = {**json.loads(path.read_text()), **changes, "sha256": "0" * 64}
    text = json.dumps(record, indent=1) + "\n"
    path.write_text(text.replace("0" * 64, hashlib.sha256(text.encode()).hexdigest()))


def test_round_trip(store: FeatureStore) -> None:
    path = store.path / "manifest.json"
    manifest = Manifest.read(store.path)
    assert manifest.encode() == path.read_bytes()
    assert (manifest.rows, [shard.rows for shard in manifest.shards]) == (25, [10, 10, 5])


def test_others_can_sign_a_manifest(store: FeatureStore) -> None:
    rewritten(store, metadata={"backbone": "new"})
    other = FeatureStore.open(store.path)
    other.verify()
    assert other.metadata == {"backbone": "new"}


def test_every_flipped_bit_is_found(store: FeatureStore) -> None:
    path = store.path / "manifest.json"
    content = path.read_bytes()
    for place in range(len(content)):
        for bit in range(8):
            damaged = bytearray(content)
            damaged[place] ^= 1 << bit
            with pytest.raises(FeatureStoreError, match=r"manifest.json"):
                Manifest.decode(bytes(damaged), path)


def test_every_truncation_is_found(store: FeatureStore) -> None:
    path = store.path / "manifest.json"
    content = path.read_bytes()
    for length in range(len(content)):
        with pytest.raises(FeatureStoreError, match=r"manifest.json"):
            Manifest.decode(content[:length], path)


@pytest.mark.parametrize("content", [b"", b"\xff", b"[1]", b"{}", b'{"format": "other"}', b"[" * 100_000])
def test_foreign_manifests(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(
        FeatureStoreError, match=r"manifest.json is (damaged: it is no JSON|not the manifest of a feature)"
    ):
        FeatureStore.open(tmp_path)


@pytest.mark.parametrize("version", [2, 99, None, "1"])
def test_other_versions(store: FeatureStore, version: object) -> None:
    rewritten(store, version=version)
    with pytest.raises(FeatureStoreError, match=rf"manifest.json has version {version} .* reads version 1: upgrade"):
        FeatureStore.open(store.path)


def test_an_edited_manifest_is_found(store: FeatureStore) -> None:
    path = store.path / "manifest.json"
    path.write_text(path.read_text().replace('"rows": 25', '"rows": 26'))
    with pytest.raises(FeatureStoreError, match=r"manifest.json is damaged or was edited: its checksum differs"):
        FeatureStore.open(store.path)


@pytest.mark.parametrize(
    "changes", [{"rows": 26}, {"dtype": "float8"}, {"shards": [1]}, {"columns": 1}, {"shards": [{}]}]
)
def test_a_signed_manifest_that_makes_no_sense(store: FeatureStore, changes: dict) -> None:
    rewritten(store, **changes)
    with pytest.raises(FeatureStoreError, match=r"manifest.json is not a manifest of a feature store"):
        FeatureStore.open(store.path)
