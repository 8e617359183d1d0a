"""Two uniform numbers for every sample of a stream, from a hash of its key, the seed and the place in a chain."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
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


def uniforms(keys: Iterable[Key], seed: int, depth: int = 0) -> tuple[Floats, Floats]:
    """Two uniform numbers in [0, 1) for every key, (N,) each: blake2b under the seed and the place in a chain."""
    secret, salt = seed.to_bytes(8, "little"), depth.to_bytes(8, "little")
    start = hashlib.blake2b(digest_size=16, key=secret, salt=salt, person=_PERSON)
    digests = bytearray()
    for key in keys:
        digest = start.copy()
        digest.update(key_bytes(key))
        digests += digest.digest()
    numbers = np.frombuffer(digests, dtype="<u8").reshape(-1, 2)
    first, second = (numbers >> np.uint64(11)).astype(np.float64).T * _UNIT
    return first, second
