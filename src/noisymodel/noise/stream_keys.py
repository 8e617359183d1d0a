"""Two uniform numbers for every sample of a stream, from a hash of its key, the seed and the place in a chain."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from .._checks import check_integer
from .inputs import Floats

Key: TypeAlias = "str | bytes | int"

_PERSON = b"noisymodel-label"  # blake2b's: no other use of the same seed gives these numbers
_UNIT = 2.0**-53


def key_bytes(key: Key) -> bytes:
    """The bytes to hash: text as UTF-8 (so "a" and b"a" are one key); numbers differ from their text (1 is not "1")."""
    if isinstance(key, str):
        return b"t" + key.encode()
    if isinstance(key, bytes):
        return b"t" + key
    try:
        return b"i%d" % check_integer(key, "key", maximum=2**64 - 1)
    except TypeError:
        raise TypeError(f"`key` must be a str, bytes or an integer, got {key!r} ({type(key).__name__})") from None


@dataclass(frozen=True)
class KeyHash:
    """Two uniform numbers in [0, 1) for every key: blake2b under the seed and the place in a chain."""

    seed: int
    depth: int = 0

    def digests(self, keys: Iterable[Key]) -> Iterable[bytes]:
        """16 bytes for each key."""
        secret = self.seed.to_bytes(8, "little")
        start = hashlib.blake2b(digest_size=16, key=secret, salt=self.depth.to_bytes(8, "little"), person=_PERSON)
        for key in keys:
            digest = start.copy()
            digest.update(key_bytes(key))
            yield digest.digest()

    def pair(self, key: Key) -> tuple[float, float]:
        """The two numbers of one key."""
        (digest,) = self.digests([key])
        first, second = int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")
        return (first >> 11) * _UNIT, (second >> 11) * _UNIT

    def pairs(self, keys: Iterable[Key]) -> tuple[Floats, Floats]:
        """The two numbers of many keys: (N,) each."""
        numbers = np.frombuffer(b"".join(self.digests(keys)), dtype="<u8").reshape(-1, 2)
        uniforms = (numbers >> np.uint64(11)).astype(np.float64) * _UNIT
        return uniforms[:, 0], uniforms[:, 1]
