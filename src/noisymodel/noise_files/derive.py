"""Derivation of a file's noise from the file and the settings alone; `corrupt` and `verify` share it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from ..errors import InputFileError
from ..files import LabelFile, open_table
from ..files.labels import NAMES, collect_labels, label_column
from ..files.reading import shown
from ..noise import LabelNoise, shuffle_pairs
from .columns import PackedTexts, numbered, text_codes, with_class_ids
from .shards import is_shards, read_fields, shards_of

T = TypeVar("T")
Texts: TypeAlias = list[str] | PackedTexts

LABELS, CAPTIONS = "labels", "captions"
_DENSE = 256  # up to this many classes the audit has the counts of (clean, noisy) as a matrix


class Settings(NamedTuple):
    """The column to change, and its noise."""

    what: str  # labels or captions
    column: str | None  # the column of a table, or the extension of a shard's member; None: the default one
    image_column: str | None
    noise: Mapping[str, Any]  # arguments of `LabelNoise`, or rate, mode and seed of `shuffle_pairs`
    alike: bool  # whether equal captions are right for each other's images
    named: bool = True  # whether options name classes by labels; an audit has class ids


class Derived(NamedTuple):
    """The derived noise: row i had the text ``texts[before[i]]`` and gets ``texts[after[i]]``."""

    texts: Texts
    before: npt.NDArray[np.int64]
    after: npt.NDArray[np.int64]
    keys: list[str] | None  # for shards: the keys of the samples in order
    column: str
    noise: dict[str, Any]  # to draw it again: a `LabelNoise`, or the arguments of `shuffle_pairs`
    record: dict[str, Any]  # its entries in an audit

    def changed(self) -> Iterator[str | None]:
        """The new text of each row; None: unchanged."""
        pairs = zip(self.before.tolist(), self.after.tolist(), strict=True)
        return (None if old == new else self.texts[new] for old, new in pairs)

    def flips(self) -> Iterator[tuple[str, str, str]]:
        """Key, clean and noisy text of each row that changes."""
        for row in np.flatnonzero(self.before != self.after).tolist():
            key = str(row) if self.keys is None else self.keys[row]
            yield key, self.texts[self.before[row]], self.texts[self.after[row]]


def derive(source: Path, settings: Settings, *, progress: bool = False) -> Derived:
    """Read the column and draw the noise.

    Raises:
        InputFileError: for a faulty file.
        ValueError: for impossible noise, with the injector's message.
    """
    found = (_labels if settings.what == LABELS else _captions)(source, settings, progress)
    checksum = text_checksum(found.texts[new] for new in found.after.tolist())
    return found._replace(record={**found.record, "column_checksum": checksum})


def text_checksum(texts: Iterable[str]) -> str:
    """SHA-256 of texts, each ended by a zero byte."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text.encode() + b"\0")
    return digest.hexdigest()


def _shown(items: Iterable[T], unit: str, progress: bool) -> Iterator[T]:
    """Yield the items, with a progress bar on stderr that appears after a second and disappears at the end."""
    return iter(tqdm(items, unit=unit, disable=not progress, delay=1.0, leave=False))


def _shard_fields(source: Path, column: str, progress: bool, keys: list[str]) -> Iterator[tuple[str, str]]:
    """Yield (key, text) of each sample; collect the keys, and check them at the end."""
    for field in _shown(read_fields(shards_of(source), column), "sample", progress):
        keys.append(field.key)
        yield f"{field.shard.name}:{field.key}", field.text
    if len(set(keys)) < len(keys):
        raise InputFileError(f"{shown(source)} has samples with the same key: keys must be unique over all shards")


def _read_labels(source: Path, settings: Settings, progress: bool) -> tuple[LabelFile, str, list[str] | None]:
    if is_shards(source):
        keys: list[str] = []
        column = settings.column or "cls"
        fields = ((place, bare(text)) for place, text in _shard_fields(source, column, progress, keys))
        return collect_labels(source, fields, "sample"), column, keys
    table = open_table(source)
    column = label_column(table, settings.column, NAMES)
    rows = _shown(table.values(column), "row", progress)
    return collect_labels(source, ((number, text) for number, (text,) in rows), table.unit), column, None


def bare(text: str) -> str:
    """The label in a member of a shard, without its line end."""
    return text.removesuffix("\n").removesuffix("\r")


def _read_captions(
    source: Path, settings: Settings, progress: bool
) -> tuple[PackedTexts, npt.NDArray[np.int64] | None, str, list[str] | None]:
    texts = PackedTexts()
    if is_shards(source):
        keys: list[str] = []
        column = settings.column or "txt"
        for _, text in _shard_fields(source, column, progress, keys):
            texts.append(text)
        return texts, None, column, keys
    table = open_table(source)
    column = label_column(table, settings.column, ("caption", "text"))
    names = [column] if settings.image_column is None else [column, settings.image_column]

    def images() -> Iterator[str]:
        for _, (text, *image) in _shown(table.values(*names), "row", progress):
            texts.append(text)
            yield from image

    codes = text_codes(images())  # reads all rows
    return texts, codes if settings.image_column is not None else None, column, None


def _labels(source: Path, settings: Settings, progress: bool) -> Derived:
    noise = dict(settings.noise)
    found, column, keys = _read_labels(source, settings, progress)
    clean, names = numbered(found, noise.pop("num_classes"))
    options = noise.pop("options")
    if settings.named:
        options = with_class_ids(options, names)
    law = LabelNoise(noise["kind"], noise["rate"], num_classes=len(names), seed=noise["seed"], **options)
    noisy = np.asarray(law.apply(clean).labels if keys is None else law.at_many(keys, clean))
    wrong = int(np.count_nonzero(noisy != clean))
    counts, numbers = np.unique(np.stack([clean, noisy], 1), axis=0, return_counts=True)
    record = {
        "method": "LabelNoise.at" if keys is not None else "LabelNoise.apply",
        "classes": names,
        **_rates(noise["rate"], wrong, len(clean)),
        **_counts(counts, numbers, len(names)),
    }
    return Derived(names, clean, noisy, keys, column, law.to_dict(), record)


def _captions(source: Path, settings: Settings, progress: bool) -> Derived:
    noise = dict(settings.noise)
    texts, images, column, keys = _read_captions(source, settings, progress)
    count = len(texts)
    if not count:
        raise InputFileError(f"{shown(source)} has no rows, so no captions")
    alike = text_codes(_normalised(texts[row]) for row in range(count)) if settings.alike else None
    given = count if images is None else images
    noisy = shuffle_pairs(given, noise["rate"], mode=noise["mode"], caption_keys=alike, seed=noise["seed"])
    origins = np.asarray(noisy.permutation)
    record = {
        "method": "shuffle_pairs",
        **_rates(noise["rate"], int(np.count_nonzero(noisy.mismatched)), count),
        "permutation_checksum": noisy.audit()["permutation_checksum"],
    }
    return Derived(texts, np.arange(count), origins, keys, column, noise, record)


def _rates(rate: Any, wrong: int, count: int) -> dict[str, Any]:
    return {"requested_rate": rate, "realized_rate": wrong / count, "num_samples": count, "num_wrong": wrong}


def _counts(pairs: npt.NDArray[np.int64], numbers: npt.NDArray[np.int64], classes: int) -> dict[str, Any]:
    """The numbers of samples by (clean, noisy) class, and their shares of the clean class (zeros for an empty class).

    Both are K × K; above 256 classes the counts are triples (clean, noisy, count), and the shares are left out.
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
