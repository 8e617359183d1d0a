"""The rows of a set: names, labels and contents, in an order that depends only on the data."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from stat import S_ISREG
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....errors import ConfigError, InputFileError
from ....files import file_checksum
from ....files.tables import listed
from .declaration import SetTable
from .pictures import FilePictures, Pictures

Integers = NDArray[np.int64]
Text = tuple[str, ...]
"""One text, or the two of a pair of sentences."""


@dataclass(frozen=True)
class Found:
    """The result of a reader; nothing is decoded."""

    place: str
    """The place that errors name."""
    names: list[str]
    """A name for each row, the same on every machine."""
    labels: Sequence[str] | None = None
    """The label of each row, exactly as in the data."""
    classes: tuple[str, ...] | None = None
    """The classes in order, if the data have them."""
    pictures: Pictures | None = None
    texts: list[Text] | None = None
    captions: list[str] | None = None
    lists: tuple[Path, ...] = ()
    """Small files that define the rows; their bytes are part of the identity."""
    files: tuple[Path, ...] = ()
    """Large files; their path, size and modification time are part of the identity, as for pictures in files."""
    extra: str = ""
    """A further identification of the data, such as the fingerprint of a Hugging Face data set."""

    @cached_property
    def state(self) -> str:
        """The hash of the files, from their size and time (small ones: bytes); computed once.

        Raises:
            InputFileError: a file is missing, or not a regular file.
        """
        digest = sha256()
        for path in self.lists:
            digest.update(f"{path.name} {file_checksum(path)}\n".encode())
        files = [(path.name, path) for path in self.files]
        if isinstance(self.pictures, FilePictures):
            files += [(name, self.pictures.folder / name) for name in self.pictures.paths]
        missing: list[Path] = []
        for name, path in files:
            try:
                status = path.stat()
            except OSError:
                status = None
            if status is None or not S_ISREG(status.st_mode):
                missing.append(path)
            else:
                digest.update(f"{name} {status.st_size} {status.st_mtime_ns}\n".encode())
        if missing:
            raise InputFileError(f"{self.place} names files that are not there: {listed(map(str, missing), 1)}")
        return digest.hexdigest()[:16]


@dataclass(frozen=True)
class Rows:
    """An opened set."""

    found: Found
    order: Integers
    """The rows of `found`, in order."""
    codes: Integers
    """The class of each row in `order`: a number in `classes`, or, if `classes` is None, in the task's classes."""
    classes: tuple[str, ...] | None
    border: int

    @property
    def place(self) -> str:
        """The place that errors name."""
        return self.found.place

    def __len__(self) -> int:
        return len(self.order)

    def chosen_texts(self) -> list[Text]:
        """The texts of the rows."""
        texts = self.found.texts or []
        return [texts[row] for row in self.order.tolist()]

    def chosen_captions(self) -> list[Text]:
        """The captions of the rows."""
        captions = self.found.captions or []
        return [(captions[row],) for row in self.order.tolist()]

    def files(self) -> set[str]:
        """The paths of the pictures, if each is a file."""
        pictures = self.found.pictures
        return set(map(pictures.name, self.order.tolist())) if isinstance(pictures, FilePictures) else set()

    def take(self, chosen: Integers) -> Rows:
        """Some of the rows."""
        return replace(self, order=self.order[chosen], codes=self.codes[chosen])

    def recoded(self, codes: Integers, classes: tuple[str, ...]) -> Rows:
        """The same rows with other numbers for their classes."""
        return replace(self, codes=codes, classes=classes)


def arranged(found: Found, table: SetTable, classes: tuple[str, ...]) -> Rows:
    """Convert labels to numbers, leave out rows with unwanted labels, and choose the declared part of the set.

    Args:
        found: what a reader found.
        table: how the set is declared.
        classes: the classes that the declaration lists, empty for none.

    Raises:
        InputFileError: no rows, an invalid label, or a label that is not among the classes.
    """
    if not len(found.names):
        raise InputFileError(f"{found.place} holds no rows")
    order = np.arange(len(found.names), dtype=np.int64)
    codes, own = np.zeros_like(order), None
    if found.labels is not None:
        order = order[[label not in table.drop_labels for label in found.labels]]
        labels = [label for label in found.labels if label not in table.drop_labels]
        if not labels:
            raise InputFileError(f"{found.place}: all rows have labels of `drop_labels`")
        codes, own = _numbered(found, labels, classes, by_index=table.labels == "index")
    return _part(Rows(found, order, codes, own, table.border), table)


def _numbered(
    found: Found, labels: Sequence[str], given: tuple[str, ...], *, by_index: bool
) -> tuple[Integers, tuple[str, ...] | None]:
    if by_index:
        own = given or None
        codes = np.array([_integer(label, found.place) for label in labels], dtype=np.int64)
        if codes.min() < 0 or (own is not None and codes.max() >= len(own)):
            bad = int(codes.min() if codes.min() < 0 else codes.max())
            of = "at least 0" if own is None else f"of 0 to {len(own) - 1}"
            raise InputFileError(f"{found.place}: label {bad} is not {of}; `drop_labels` leaves rows out")
        return codes, own
    own = given or found.classes or tuple(sorted(set(labels)))
    numbers = {name: number for number, name in enumerate(own)}
    unknown = sorted(set(labels) - set(numbers))
    if unknown:
        raise InputFileError(
            f"{found.place}: labels {listed(map(repr, unknown))} are not among the {len(own)} classes given"
        )
    return np.array([numbers[label] for label in labels], dtype=np.int64), own


def _integer(label: str, place: str) -> int:
    try:
        return int(label)
    except ValueError:
        raise InputFileError(f'{place}: label {label!r} is no integer; `labels = "name"` takes names') from None


def _part(rows: Rows, table: SetTable) -> Rows:
    """The declared share or ranks of each class, ordered by a hash of the names (not by file system or seed)."""
    if not table.portion and not table.ranks:
        return rows
    hashes = [sha256(rows.found.names[row].encode()).digest() for row in rows.order.tolist()]
    chosen: list[int] = []
    for code in np.unique(rows.codes):
        ranked = sorted(np.flatnonzero(rows.codes == code).tolist(), key=hashes.__getitem__)
        if table.portion:
            start, stop = (round(share * len(ranked)) for share in table.portion)
        else:
            start, stop = table.ranks[0], table.ranks[1] or None
        chosen += ranked[start:stop]
    if not chosen:
        raise InputFileError(f"{rows.place}: the part that is asked for is empty")
    return rows.take(np.sort(chosen))


def numbered(count: int) -> list[str]:
    """Names of rows that are known by their number alone."""
    return [f"{row:09d}" for row in range(count)]


def named(numbers: NDArray[np.integer[Any]], classes: tuple[str, ...], place: Path) -> list[str]:
    """The names of classes that are given by number.

    Raises:
        InputFileError: a number beyond them.
    """
    if len(numbers) and (numbers.min() < 0 or numbers.max() >= len(classes)):
        raise InputFileError(
            f"{place}: `labels` must be from 0 to {len(classes) - 1}, got {numbers.min()} to {numbers.max()}"
        )
    return [classes[number] for number in numbers.tolist()]


def identity(sets: Iterable[Rows], others: Iterable[Path] = (), further: object = None) -> str:
    """The hash of sets, of further small files and of a JSON-ready value: a part of the key of all that is computed.

    It contains the bytes of lists, tables and label maps; the path, size and modification time of pictures, arrays and
    shards; the classes and the class of each row; and the fingerprint of Hugging Face data sets. So a study is computed
    again if a file is touched, or copied without its times. A changed file is noticed unless its size and time are
    kept.

    Raises:
        ConfigError: a file has disappeared since the set was opened.
    """
    digest = sha256()
    for rows in sets:
        digest.update(f"{len(rows)} {rows.classes} {rows.border} {rows.found.extra} {rows.found.state}\n".encode())
        digest.update(np.ascontiguousarray(rows.order).tobytes())
        digest.update(np.ascontiguousarray(rows.codes).tobytes())
    try:
        for path in others:
            digest.update(f"{path.name} {file_checksum(path)}\n".encode())
    except OSError as error:
        raise ConfigError(f"config key `suite`: {error.filename} cannot be read: {error.strerror}") from None
    digest.update(json.dumps(further).encode())
    return digest.hexdigest()[:16]
