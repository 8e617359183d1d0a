"""The noise of a file, from the file and its settings alone: what `corrupt` writes and `verify` derives again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from ..errors import InputFileError
from ..noise import LabelNoise, shuffle_pairs
from .columns import Classes, PackedTexts, text_codes
from .shards import read_fields, shards_of
from .tables import Table, open_table

LABELS, CAPTIONS = "labels", "captions"
_DENSE = 256  # classes up to which the counts of (clean, noisy) are a matrix in the audit


class Settings(NamedTuple):
    """What is to be done to which column."""

    what: str  # labels or captions
    column: str  # of a table; of shards, the member's extension
    image_column: str | None
    noise: Mapping[str, Any]  # of a `LabelNoise`, or rate, mode and seed of `shuffle_pairs`
    alike: bool  # captions that are the same text count as right


class Derived(NamedTuple):
    """The noise: what each row becomes (None: what it was), and what an audit says of it."""

    changed: Callable[[], Iterator[str | None]]
    flips: Callable[[], Iterator[tuple[str, str, str]]]  # key, clean, noisy
    record: dict[str, Any]
    keys: list[str] | None  # of shards: the samples in their order


def derive(source: Path, settings: Settings, *, progress: bool = False) -> Derived:
    """Read the column and draw the noise.

    Raises:
        InputFileError: for a file that is not what it should be.
        ValueError: for noise that cannot be (the injector's own words).
    """
    column = _read(source, settings, progress)
    made = _labels(source, settings, column) if settings.what == LABELS else _captions(settings, column)
    digest = hashlib.sha256()
    for index, value in enumerate(made.changed()):
        text = column.texts[index] if value is None else value
        digest.update(text.encode() + b"\0")
    return made._replace(record={**made.record, "column_checksum": digest.hexdigest()})


class _Column(NamedTuple):
    texts: PackedTexts
    images: npt.NDArray[np.int64] | None
    keys: list[str] | None

    def key(self, row: int) -> str:
        return str(row) if self.keys is None else self.keys[row]


def is_shards(source: Path) -> bool:
    """Whether a path is a tar file or a folder of some."""
    return source.suffix == ".tar" or (source.is_dir() and any(source.glob("*.tar")))


def _read(source: Path, settings: Settings, progress: bool) -> _Column:
    texts = PackedTexts()
    if is_shards(source):
        keys: list[str] = []
        for field in tqdm(read_fields(shards_of(source), settings.column), unit="sample", disable=not progress):
            texts.append(field.text.strip() if settings.what == LABELS else field.text)
            keys.append(field.key)
        if len(set(keys)) < len(keys):
            raise InputFileError(f"{source} has samples with the same key: keys must be unique over all shards")
        return _Column(texts, None, keys)
    table = open_table(source)
    bar: Iterable[tuple[str, ...]] = tqdm(_rows(table, settings), unit="row", disable=not progress)
    if settings.image_column is None:
        for (text,) in bar:
            texts.append(text)
        return _Column(texts, None, None)
    images = text_codes(_image_of(row, texts) for row in bar)
    return _Column(texts, images, None)


def _rows(table: Table, settings: Settings) -> Iterator[tuple[str, ...]]:
    names = [settings.column] if settings.image_column is None else [settings.column, settings.image_column]
    return table.values(*names)


def _image_of(row: tuple[str, ...], texts: PackedTexts) -> str:
    """The image's id, after its caption was put away: each row is read once."""
    texts.append(row[0])
    return row[1]


def _labels(source: Path, settings: Settings, column: _Column) -> Derived:
    noise = dict(settings.noise)
    every = (column.texts[row] for row in range(len(column.texts)))
    classes = Classes(str(source), every, noise.pop("num_classes"))
    options = noise.pop("options")
    kind, rate, seed = noise["kind"], noise["rate"], noise["seed"]
    law = LabelNoise(kind, rate, num_classes=classes.count, seed=seed, **options)
    if column.keys is None:
        noisy = np.asarray(law.apply(classes.labels).labels)
    else:
        noisy = np.asarray(law.at_many(column.keys, classes.labels))
    clean = classes.labels
    wrong = np.flatnonzero(noisy != clean)
    counts, numbers = np.unique(np.stack([clean, noisy], 1), axis=0, return_counts=True)

    def changed() -> Iterator[str | None]:
        return (None if old == new else classes.name(int(new)) for old, new in zip(clean, noisy, strict=True))

    def flips() -> Iterator[tuple[str, str, str]]:
        return ((column.key(int(row)), classes.name(int(clean[row])), classes.name(int(noisy[row]))) for row in wrong)

    record = {
        "method": "LabelNoise.at" if column.keys is not None else "LabelNoise.apply",
        "classes": classes.names(),
        **_rates(rate, len(wrong), len(clean)),
        **_counts(counts, numbers, classes.count),
    }
    return Derived(changed, flips, record, column.keys)


def _captions(settings: Settings, column: _Column) -> Derived:
    texts, noise = column.texts, dict(settings.noise)
    count = len(texts)
    if not count:
        raise InputFileError("there are no captions")
    keys = text_codes(_normalised(texts[row]) for row in range(count)) if settings.alike else None
    given = count if column.images is None else column.images
    noisy = shuffle_pairs(given, noise["rate"], mode=noise["mode"], caption_keys=keys, seed=noise["seed"])
    source = np.asarray(noisy.permutation)
    moved = np.flatnonzero(source != np.arange(count))

    def changed() -> Iterator[str | None]:
        return (None if origin == row else texts[int(origin)] for row, origin in enumerate(source))

    def flips() -> Iterator[tuple[str, str, str]]:
        return ((column.key(int(row)), texts[int(row)], texts[int(source[row])]) for row in moved)

    record = {
        "method": "shuffle_pairs",
        **_rates(noise["rate"], int(np.count_nonzero(noisy.mismatched)), count),
        "permutation_checksum": noisy.audit()["permutation_checksum"],
    }
    return Derived(changed, flips, record, column.keys)


def _rates(rate: Any, wrong: int, count: int) -> dict[str, Any]:
    return {"requested_rate": rate, "realized_rate": wrong / count, "num_samples": count, "num_wrong": wrong}


def _counts(pairs: npt.NDArray[np.int64], numbers: npt.NDArray[np.int64], classes: int) -> dict[str, Any]:
    """Samples by (clean, noisy) class, and their shares of the clean class (zeros where it has none).

    K rows of K each; above 256 classes the counts are triples (clean, noisy, count), and the shares are left out.
    """
    if classes > _DENSE:
        triples = [[int(clean), int(noisy), int(number)] for (clean, noisy), number in zip(pairs, numbers, strict=True)]
        return {"counts": triples, "empirical_transition": None}
    matrix = np.zeros((classes, classes), dtype=np.int64)
    matrix[pairs[:, 0], pairs[:, 1]] = numbers
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    return {"counts": matrix.tolist(), "empirical_transition": shares.tolist()}


def _normalised(text: str) -> str:
    return " ".join(text.casefold().split())
