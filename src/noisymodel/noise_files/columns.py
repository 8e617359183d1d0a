"""Columns of many rows in little memory: texts end to end, class names as numbers, ids as hashes."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from ..errors import InputFileError

_PIECE = 1 << 16


class PackedTexts:
    """Texts, end to end in UTF-8: about their bytes and eight more each."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._ends = array("q", [0])

    def append(self, text: str) -> None:
        """One more."""
        self._bytes += text.encode()
        self._ends.append(len(self._bytes))

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index: int) -> str:
        return bytes(memoryview(self._bytes)[self._ends[index] : self._ends[index + 1]]).decode()


def text_codes(texts: Iterable[str]) -> npt.NDArray[np.int64]:
    """(N,) numbers, equal for equal texts: 64 bits of a hash.

    Of 12 million different texts two share a number with probability 4e-6; they then count as one.
    """
    codes, piece = array("q"), 0
    for text in texts:
        piece = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little", signed=True)
        codes.append(piece)
    return np.frombuffer(codes, dtype=np.int64) if len(codes) else np.zeros(0, np.int64)


class Classes:
    """Labels as class ids: whole numbers are their own ids, names are numbered in their order."""

    def __init__(self, place: str, labels: Iterable[str], num_classes: int | None) -> None:
        known: dict[str, int] = {}
        first = array("q")
        for row, label in enumerate(labels):
            if not label:
                raise InputFileError(f"{place}, row {row}: the label is missing")
            first.append(known.setdefault(label, len(known)))
        if not known:
            raise InputFileError(f"{place} has no rows")
        self.are_numbers = all(label.isdecimal() and str(int(label)) == label for label in known)
        ids = {name: int(name) if self.are_numbers else index for index, name in enumerate(sorted(known))}
        needed = max(ids.values()) + 1
        if num_classes is not None and num_classes < needed:
            raise InputFileError(f"{place} has {needed} classes, more than --num-classes {num_classes}")
        if num_classes is not None and num_classes > needed and not self.are_numbers:
            raise InputFileError(
                f"{place} names {needed} classes, --num-classes {num_classes} would need names for all"
            )
        self.count = num_classes or needed
        table = np.array([ids[name] for name in known], dtype=np.int64)
        self.labels = table[np.frombuffer(first, dtype=np.int64)]
        self._names = {index: name for name, index in ids.items()}

    def name(self, index: int) -> str:
        """The label of a class id."""
        return str(index) if self.are_numbers else self._names[index]

    def names(self) -> list[str]:
        """All, by class id."""
        return [self.name(index) for index in range(self.count)]
