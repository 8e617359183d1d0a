"""Noise in streams of image–caption pairs: wrong captions from a fixed pool, as a pure function of key and seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TypeVar, cast

from .._checks import check_seed, check_sequence
from .selection import exact_rate
from .stream_keys import Key, key_bytes, uniforms

Text = TypeVar("Text", str, bytes)

_DEPTH = 0x70616972 << 32  # "pair": beyond every place in a chain of label noise, so no other noise draws these numbers
_TRIES = 64


@dataclass(frozen=True, eq=False)
class PairNoise:
    """Caption noise as a frozen, picklable specification, for streams.

    A stream gives access to few captions of other samples (a shuffle buffer, the shards of this worker), and these
    change with sharding, order and resumption. So the wrong captions come from a **declared pool**, the same in every
    worker. Sample k is mismatched if u₁(k, seed) < rate, and gets ``captions[⌊u₂(k, seed)·len(captions)⌋]``; u₁ and u₂
    come from a hash and are uniform in [0, 1). If the drawn caption equals the sample's own, or has the sample's key in
    ``keys``, the next hashed draw decides; after 64 draws, the next caption in the pool.

    Law: each sample is mismatched independently with probability ``rate``, and every selected sample gets a caption
    that differs. So of N samples with different keys, Binomial(N, rate) are mismatched: the realised rate is
    rate ± 1.96·√(rate·(1 − rate)/N) in 95 % of seeds, ± 0.03 points at 30 % of 12 million. The wrong caption is uniform
    in the pool without the sample's own; captions repeat, as with ``mode="resample"`` of :func:`shuffle_pairs`. The
    noise is nested: a key that is mismatched at a lower rate gets the same caption at a higher rate. If you need
    exactly m mismatched pairs, or captions that only change places, use :func:`shuffle_pairs`, which needs the whole
    list once.

    Args:
        rate: in [0, 1].
        captions: the pool: any sequence of str with ``len`` and integer indices: a list, or a memory-mapped column
            (``datasets.Dataset[...]["text"]``), which workers share. 100,000 captions of the data are plenty.
        keys: the stream's key of each caption in the pool, if the pool was taken from the stream; None if unknown.
        seed: integer in [0, 2**63).

    Raises:
        TypeError: captions that are not a sequence.
        ValueError: an empty pool; another number of keys than of captions; a rate outside [0, 1].

    >>> noise = PairNoise(0.5, ["a cat", "a dog", "a red bus"], seed=0)
    >>> [noise.at(key, "a cat") for key in ("000", "001", "002", "003")]
    ['a red bus', 'a cat', 'a cat', 'a red bus']
    """

    rate: float
    captions: Sequence[str] = field(repr=False)
    keys: Sequence[Key] | None = field(default=None, repr=False, kw_only=True)
    seed: int = field(kw_only=True)

    def __post_init__(self) -> None:
        check_sequence(self.captions, "captions", "str")
        if len(self.captions) == 0:
            raise ValueError("`captions` must hold at least one caption, got none")
        if not isinstance(self.captions[0], str):  # pyright: ignore[reportUnnecessaryIsInstance] # callers may err
            raise TypeError(f"`captions` must be a sequence of str, got {type(self.captions[0]).__name__} in it")
        if self.keys is not None:
            check_sequence(self.keys, "keys", "keys")
        if self.keys is not None and len(self.keys) != len(self.captions):
            raise ValueError(f"`keys` must be one for each of the {len(self.captions)} captions, got {len(self.keys)}")
        share: Fraction = exact_rate(self.rate)
        object.__setattr__(self, "rate", float(share))
        check_seed(self.seed)

    def mismatched(self, key: Key) -> bool:
        """Whether the sample with this key gets a wrong caption."""
        return self._uniforms(key)[0] < self.rate

    def _uniforms(self, key: Key, attempt: int = 0) -> tuple[float, float]:
        first, second = uniforms([key], self.seed, _DEPTH + attempt)
        return float(first[0]), float(second[0])

    def at(self, key: Key, text: Text) -> Text:
        """The noisy caption of one sample, from its key and its own caption alone.

        Args:
            key: a str or bytes (the same text is the same key), or an integer, unique in the data.
            text: the sample's own caption; bytes are UTF-8 and give bytes.

        Raises:
            TypeError: a key or caption of another type.
            ValueError: the pool has no caption but the sample's own.
        """
        if not isinstance(text, str | bytes):  # pyright: ignore[reportUnnecessaryIsInstance] # callers may err
            raise TypeError(f"`text` must be a str or bytes, got {type(text).__name__}: apply the noise before tokens")
        own = text if isinstance(text, str) else text.decode()
        selector, place = self._uniforms(key)
        if selector >= self.rate:
            return text
        index = int(place * len(self.captions))
        attempt = 0
        while not self._wrong(index, key, own) and attempt < _TRIES:
            attempt += 1
            index = int(self._uniforms(key, attempt)[0] * len(self.captions))
        caption = self._next_wrong(index, key, own)
        return cast(Text, caption if isinstance(text, str) else caption.encode())

    def _wrong(self, index: int, key: Key, own: str) -> bool:
        if self.keys is not None and key_bytes(self.keys[index]) == key_bytes(key):
            return False
        return self.captions[index] != own

    def _next_wrong(self, index: int, key: Key, own: str) -> str:
        for step in range(len(self.captions)):
            place = (index + step) % len(self.captions)
            if self._wrong(place, key, own):
                return self.captions[place]
        raise ValueError(f"`captions` must hold one that is not the sample's own, {own!r} of key {key!r}")
