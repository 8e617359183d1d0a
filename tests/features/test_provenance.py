"""The fingerprint is of what fixes the features, and of nothing else."""

from __future__ import annotations

import hashlib
import json

import pytest

from noisymodel.features.provenance import FINGERPRINT_KEYS, differences, fingerprint, other_metadata, unknown

METADATA = {"layer": "pool", "backbone": "é", "weights": "12", "transform": "t"}
METADATA |= {"architecture": "3", "precision": "float32"}


def test_the_fingerprint_is_as_documented() -> None:
    text = r'{"backbone":"\u00e9","layer":"pool","transform":{"a":[2],"b":1},"weights":"12"}'
    assert fingerprint(json.loads(text)) == hashlib.sha256(text.encode()).hexdigest()
    assert fingerprint({"backbone": "a"}) is not None
    assert fingerprint({"backbone": None}) != fingerprint({})


@pytest.mark.parametrize("key", FINGERPRINT_KEYS)
def test_each_entry_counts(key: str) -> None:
    assert fingerprint({**METADATA, key: "else"}) != fingerprint(METADATA)
    assert differences(METADATA, {**METADATA, key: None}) == f"{key} is {METADATA[key]!r} here and missing there"


def test_settings_within_an_entry_are_named() -> None:
    mine, other = ({"transform": {"max_length": length, "prompt": "a"}} for length in (128, 256))
    assert differences(mine, other) == "transform.max_length is 128 here and 256 there"
    assert differences({"transform": {}}, {"transform": {"prompt": ""}}) == (
        "transform.prompt is missing here and '' there"
    )


def test_nothing_is_like_nothing() -> None:
    """The hash of no parameters, which old stores have, says nothing; a name does."""
    for weights in (None, hashlib.sha256().hexdigest()):
        assert fingerprint({**METADATA, "weights": weights}) is None
        assert "extract(..., weights='a name of the weights') records it" in unknown({**METADATA, "weights": weights})
    assert unknown({**METADATA, "weights": "resnet50-fp16.onnx, 2026-11"}) == ""


def test_other_entries_do_not_count() -> None:
    assert fingerprint({**METADATA, "versions": 1, "note": 2}) == fingerprint(METADATA)
    assert differences(METADATA, {**METADATA, "note": 2}) == ""


def test_all_but_versions_must_agree_to_append() -> None:
    assert other_metadata({**METADATA, "versions": 1}, {**METADATA, "versions": 2}) == ""
    assert other_metadata(METADATA, {**METADATA, "note": 2}) == "note is missing here and 2 there"
    assert other_metadata({"a": 1}, {}) == "a is 1 here and missing there"


def test_long_values_are_cut() -> None:
    assert len(differences({"backbone": "a" * 500}, {"backbone": "b" * 500})) < 200
