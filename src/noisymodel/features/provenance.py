"""The provenance of features: the metadata that two comparable sets of features must share."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, cast

FINGERPRINT_KEYS = ("backbone", "weights", "transform", "layer", "architecture", "precision")
_OF_NOTHING = (None, hashlib.sha256().hexdigest())  # `weights` of a module without parameters, now and in old versions
_MAY_DIFFER = frozenset({"versions"})  # a resumed run may have other versions of the libraries


def fingerprint(metadata: Mapping[str, Any]) -> str | None:
    """SHA-256, in hexadecimal, of the entries of `FINGERPRINT_KEYS` in ``metadata``; None if they say too little.

    They say too little if there are none, or if the weights are the unnamed weights of a module without parameters.
    The hashed text is the JSON of these entries with sorted keys, no spaces and only ASCII characters.

    >>> fingerprint({"backbone": "timm:resnet50", "created": "today"})[:8]
    '7ef51963'
    >>> fingerprint({"created": "today"}) is None
    True
    """
    if unknown(metadata):
        return None
    known = {key: metadata[key] for key in FINGERPRINT_KEYS if key in metadata}
    text = json.dumps(known, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def unknown(metadata: Mapping[str, Any]) -> str:
    """The reason why features with this metadata cannot be compared with others; empty if they can."""
    if not any(key in metadata for key in FINGERPRINT_KEYS):
        return (
            "does not say which backbone its features are of: "
            "FeatureStore.create(..., metadata={'backbone': ...}) records it"
        )
    if "weights" in metadata and metadata["weights"] in _OF_NOTHING:
        return (
            "is of a backbone without parameters, which nothing tells apart from others: "
            "extract(..., weights='a name of the weights') records it"
        )
    return ""


def differences(mine: Mapping[str, Any], other: Mapping[str, Any], keys: tuple[str, ...] = FINGERPRINT_KEYS) -> str:
    """The entries that differ, as text; empty if all agree."""
    parts = [
        f"{name} is {_shown(here)} here and {_shown(there)} there"
        for key in keys
        for name, here, there in _pairs(key, mine.get(key), other.get(key))
    ]
    return "; ".join(parts)


def _pairs(name: str, mine: object, other: object) -> Iterator[tuple[str, object, object]]:
    """The entries that differ, by name; entries of nested dictionaries one by one."""
    if isinstance(mine, dict) and isinstance(other, dict):
        here, there = cast("dict[str, object]", mine), cast("dict[str, object]", other)
        for key in {**here, **there}:
            yield from _pairs(f"{name}.{key}", here.get(key), there.get(key))
    elif mine != other:
        yield name, mine, other


def other_metadata(stored: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    """The reason why rows with the metadata ``given`` do not belong into a store with the metadata ``stored``."""
    keys = tuple(key for key in {**stored, **given} if key not in _MAY_DIFFER)
    return differences(stored, given, keys)


def _shown(value: object) -> str:
    text = "missing" if value is None else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
