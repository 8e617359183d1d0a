"""Listings of folders: (path, label) for folders of classes; (row, id, label) for stores; (row, label) for Parquet."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..errors import InputFileError
from ..features import FeatureStore
from ..features.manifest import MANIFEST_NAME
from ..features.opening import read_labels, store_labels
from ..files.reading import shown
from .shards import is_shards


def needs_listing(source: Path) -> bool:
    """Whether a path is a folder without shards, such as a folder of pictures or a feature store."""
    return source.is_dir() and not is_shards(source)


def write_listing(folder: Path, out: Path | None) -> str:
    """Write the listing of a folder as CSV; returns its SHA-256. With ``out=None`` nothing is written.

    A feature store gives (row, id if there are ids, label), Parquet files give (row, label). Any other folder gives
    (path, label) of every file, sorted by path; the label is the first folder of the path, and hidden files are left
    out.

    Raises:
        InputFileError: a file outside the folders of classes, no files, or a store without labels.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    is_store = (folder / MANIFEST_NAME).exists()
    tables = not is_store and any(folder.glob("*.parquet"))
    writer.writerows(_store_rows(folder) if is_store else _table_rows(folder) if tables else _file_rows(folder))
    content = text.getvalue().encode()
    if out is not None:
        out.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def _store_rows(folder: Path) -> Iterator[Sequence[object]]:
    store = FeatureStore.open(folder)
    labels, ids = store_labels(store).values, store.ids
    yield ["row", "label"] if ids is None else ["row", "id", "label"]
    for row, label in enumerate(labels):
        yield [row, label] if ids is None else [row, getattr(ids[row], "item", lambda row=row: ids[row])(), label]


def _table_rows(folder: Path) -> Iterator[Sequence[object]]:
    yield ["row", "label"]
    yield from enumerate(read_labels(folder).values)


def _file_rows(folder: Path) -> Iterator[Sequence[str]]:
    yield ["path", "label"]
    count = 0
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if any(part.startswith(".") for part in relative.parts) or not path.is_file():
            continue
        if len(relative.parts) < 2:
            raise InputFileError(f"{shown(path)} is in no folder of a class: {shown(folder)} must hold one for each")
        try:
            relative.as_posix().encode()
        except UnicodeEncodeError:
            raise InputFileError(f"{shown(path)} has a name that is no UTF-8, which no listing can hold") from None
        yield [relative.as_posix(), relative.parts[0]]
        count += 1
    if not count:
        raise InputFileError(f"{shown(folder)} holds no files in folders of classes, and no .tar shards")
