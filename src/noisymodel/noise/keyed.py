"""Noise as a pure function of a sample's key: two uniform numbers from a hash, and the law that they are put into."""

from __future__ import annotations

import hashlib
import operator
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from .arrays import Floats
from .structure import Rows

Key: TypeAlias = "str | bytes | int"

_PERSON = b"noisymodel-label"  # blake2b's: no other use of the same seed gives these numbers
_UNIT = 2.0**-53


def key_bytes(key: Key) -> bytes:
    """What is hashed: text is its UTF-8 (so "a" and b"a" are one key), a number is none of them (1 is not "1")."""
    if isinstance(key, str):
        return b"t" + key.encode()
    if isinstance(key, bytes):
        return b"t" + key
    if not isinstance(key, bool | np.bool_):
        try:
            return b"i%d" % operator.index(key)
        except TypeError:
            pass
    raise TypeError(f"`key` must be a str, bytes or an integer, got {key!r} ({type(key).__name__})")


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
        """For one key."""
        (digest,) = self.digests([key])
        first, second = int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")
        return (first >> 11) * _UNIT, (second >> 11) * _UNIT

    def pairs(self, keys: Iterable[Key]) -> tuple[Floats, Floats]:
        """For many: (N,) each."""
        numbers = np.frombuffer(b"".join(self.digests(keys)), dtype="<u8").reshape(-1, 2)
        uniforms = (numbers >> np.uint64(11)).astype(np.float64) * _UNIT
        return uniforms[:, 0], uniforms[:, 1]


class Targets(Protocol):
    """Which class a flipped label becomes, for a uniform number."""

    def one(self, label: int, uniform: float) -> int:
        """For one label."""
        ...

    def many(self, labels: npt.NDArray[np.intp], uniforms: Floats) -> npt.NDArray[np.intp]:
        """For (N,) labels, each as ``one`` gives it."""
        ...


@dataclass(frozen=True)
class UniformTargets:
    """Any class alike, or any other."""

    num_classes: int
    include_true: bool

    def one(self, label: int, uniform: float) -> int:
        """See :class:`Targets`."""
        drawn = int(uniform * (self.num_classes - (not self.include_true)))
        return drawn + (not self.include_true and drawn >= label)

    def many(self, labels: npt.NDArray[np.intp], uniforms: Floats) -> npt.NDArray[np.intp]:
        """See :class:`Targets`."""
        drawn = (uniforms * (self.num_classes - (not self.include_true))).astype(np.intp)
        return drawn if self.include_true else drawn + (drawn >= labels)


@dataclass(frozen=True, eq=False)
class MappedTargets:
    """One class for each."""

    target: npt.NDArray[np.intp]

    def one(self, label: int, uniform: float) -> int:
        """See :class:`Targets`."""
        del uniform
        return int(self.target[label])

    def many(self, labels: npt.NDArray[np.intp], uniforms: Floats) -> npt.NDArray[np.intp]:
        """See :class:`Targets`."""
        del uniforms
        return self.target[labels]


@dataclass(frozen=True, eq=False)
class RowTargets:
    """A class from the row of the label, the label itself left out: inverse of the cumulative share."""

    rows: Rows
    _known: dict[int, tuple[list[int], list[float]]] = field(default_factory=dict, repr=False)

    def _cumulative(self, label: int) -> tuple[list[int], list[float]]:
        if label not in self._known:
            columns, shares = self.rows.row(label)
            others = columns != label
            if others.any():
                columns, shares = columns[others], shares[others]
            self._known[label] = columns.tolist(), list(accumulate(shares.tolist()))
        return self._known[label]

    def one(self, label: int, uniform: float) -> int:
        """See :class:`Targets`."""
        columns, sums = self._cumulative(label)
        return columns[min(bisect_right(sums, uniform * sums[-1]), len(columns) - 1)]

    def many(self, labels: npt.NDArray[np.intp], uniforms: Floats) -> npt.NDArray[np.intp]:
        """See :class:`Targets`."""
        found = np.empty_like(labels)
        order = np.argsort(labels, kind="stable")
        bounds = np.flatnonzero(np.diff(labels[order])) + 1
        for places in np.split(order, bounds):
            if places.size:
                columns, sums = self._cumulative(int(labels[places[0]]))
                index = np.searchsorted(np.array(sums), uniforms[places] * sums[-1], side="right")
                found[places] = np.array(columns)[np.minimum(index, len(columns) - 1)]
        return found


@dataclass(frozen=True, eq=False)
class FlipLaw:
    """A label flips with the chance of its class; whether, and to what, are two independent uniform numbers."""

    chances: Floats
    targets: Targets

    def one(self, label: int, uniforms: tuple[float, float]) -> int:
        """The noisy label of one sample."""
        return self.targets.one(label, uniforms[1]) if uniforms[0] < self.chances[label] else label

    def many(self, labels: npt.NDArray[np.intp], uniforms: tuple[Floats, Floats]) -> npt.NDArray[np.intp]:
        """The noisy labels of many."""
        noisy = labels.copy()
        places = np.flatnonzero(uniforms[0] < self.chances[labels])
        noisy[places] = self.targets.many(labels[places], uniforms[1][places])
        return noisy
