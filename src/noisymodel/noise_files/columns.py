"""Compact columns of many rows: concatenated texts, class names as numbers, ids as hashes."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from ..errors import InputFileError
from ..files import LabelFile, label_text
from ..files.labels import integers_of
from ..files.reading import shown
from ..files.tables import listed


class PackedTexts:
    """Texts, concatenated in UTF-8; each costs its bytes and about eight more."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._ends = array("q", [0])

    def append(self, text: str) -> None:
        """Append a text."""
        self._bytes += text.encode()
        self._ends.append(len(self._bytes))

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index: int) -> str:
        return bytes(memoryview(self._bytes)[self._ends[index] : self._ends[index + 1]]).decode()


def text_codes(texts: Iterable[str]) -> npt.NDArray[np.int64]:
    """(N,) numbers that are equal for equal texts: 64 bits of a hash.

    Among 12 million different texts, two have the same number with probability 4e-6; they then count as equal.
    """
    codes, piece = array("q"), 0
    for text in texts:
        piece = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little", signed=True)
        codes.append(piece)
    return np.frombuffer(codes, dtype=np.int64) if len(codes) else np.zeros(0, np.int64)


def numbered(found: LabelFile, num_classes: int | None) -> tuple[npt.NDArray[np.int64], list[str]]:
    """(N,) class ids, and the name of each of the K classes.

    K is the number of classes in the file. If ``num_classes`` is larger and all labels are numbers below it, each
    number is its own class id; so classes without a row in the file have names too.

    Raises:
        InputFileError: the file has more classes, or fewer classes whose labels are not such numbers.
    """
    held = len(found.classes)
    if num_classes is None or num_classes == held:
        return found.codes, list(found.classes)
    place = shown(found.path)
    if num_classes < held:
        raise InputFileError(f"{place} has {held} classes, more than --num-classes {num_classes}")
    numbers = integers_of(found.classes)
    if numbers is None:
        raise InputFileError(f"{place} names {held} classes, --num-classes {num_classes} would need names for all")
    if numbers[0] < 0 or numbers[-1] >= num_classes:
        other = numbers[0] if numbers[0] < 0 else numbers[-1]
        raise InputFileError(f"{place} has the class {other}, which is not one of 0 to {num_classes - 1}")
    return numbers[found.codes], [str(number) for number in range(num_classes)]


def with_class_ids(options: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Replace labels by class ids in the options ``mapping`` and ``classes`` of an injector.

    If the labels are not numbers, a number is already a class id.
    """
    ids = {name: index for index, name in enumerate(names)}
    by_number = integers_of(names) is None

    def number(label: object) -> int:
        text = label_text(label)
        if text in ids:
            return ids[text]
        if by_number and text.isdecimal() and int(text) < len(names):
            return int(text)
        raise ValueError(f"`mapping` and `classes` must be of the file's classes, {listed(names)}; got {label!r}")

    changed = dict(options)
    if isinstance(changed.get("mapping"), Mapping):
        mapping = cast("Mapping[object, object]", changed["mapping"])
        changed["mapping"] = {number(clean): number(noisy) for clean, noisy in mapping.items()}
    if changed.get("classes") is not None:
        changed["classes"] = [number(label) for label in changed["classes"]]
    return changed
