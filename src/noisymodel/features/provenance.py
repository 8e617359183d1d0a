"""Where features come from: what must agree for two sets of features to be of one kind."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

FINGERPRINT_KEYS = ("backbone", "weights", "transform", "layer")
_MAY_DIFFER = frozenset({"versions"})  # of the libraries: a resumed run may have others


def fingerprint(metadata: Mapping[str, Any]) -> str | None:
    """SHA-256, in hexadecimal, of the entries of `FINGERPRINT_KEYS` in ``metadata``; None where there are none.

    The text that is hashed is the JSON of those entries with sorted keys, no spaces and only ASCII characters.

    >>> fingerprint({"backbone": "timm:resnet50", "created": "today"})[:8]
    '7ef51963'
    >>> fingerprint({"created": "today"}) is None
    True
    """
    known = {key: metadata[key] for key in FINGERPRINT_KEYS if key in metadata}
    if not known:
        return None
    text = json.dumps(known, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def differences(mine: Mapping[str, Any], other: Mapping[str, Any], keys: tuple[str, ...] = FINGERPRINT_KEYS) -> str:
    """The entries that differ, in words; empty where all agree."""
    parts = [
        f"{key} is {_shown(mine.get(key))} here and {_shown(other.get(key))} there"
        for key in keys
        if mine.get(key) != other.get(key)
    ]
    return "; ".join(parts)


def other_metadata(stored: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    """What keeps rows with the metadata ``given`` out of a store with the metadata ``stored``, in words."""
    keys = tuple(key for key in {**stored, **given} if key not in _MAY_DIFFER)
    return differences(stored, given, keys)


def _shown(value: object) -> str:
    text = "missing" if value is None else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
