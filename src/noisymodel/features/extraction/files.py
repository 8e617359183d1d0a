"""Pictures in folders and texts in files, as the command line is given them."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from ...errors import InputFileError, MissingExtraError

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
_TABLES = {".csv": ",", ".tsv": "\t"}


class PictureFolder:
    """The pictures of a folder with a folder for each class: (tensor, class id, path within the folder).

    Classes are numbered by name, pictures ordered by path. Without folders all pictures are of class 0, and `classes`
    is empty. ``transform`` may be set later, before the first picture is read.
    """

    def __init__(self, folder: Path, transform: Callable[[Any], Tensor] | None) -> None:
        self.folder, self.transform = folder, transform
        found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURES and path.is_file())
        if not found:
            raise InputFileError(f"{folder} holds no pictures ({', '.join(PICTURES)})")
        self.paths = [path.relative_to(folder).as_posix() for path in found]
        tops = [path.partition("/")[0] if "/" in path else "" for path in self.paths]
        if "" in tops and len(set(tops)) > 1:
            loose = self.paths[tops.index("")]
            raise InputFileError(f"{folder} has pictures beside its folders of classes, such as {loose}: move them")
        self.classes = sorted(set(tops) - {""})
        self.labels = [self.classes.index(top) if top else 0 for top in tops]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, int, str]:
        try:
            from PIL import Image
        except ImportError:
            raise MissingExtraError("Pillow", extra="timm", purpose="reading pictures") from None
        path = self.folder / self.paths[index]
        try:
            with Image.open(path) as picture:
                assert self.transform is not None  # noqa: S101 # set before the first picture is read
                return self.transform(picture.convert("RGB")), self.labels[index], self.paths[index]
        except (OSError, SyntaxError, ValueError) as error:
            raise InputFileError(f"{path} cannot be read as a picture: {error}") from None


class Texts(NamedTuple):
    """Texts with their labels (class ids, with the classes by number) or without."""

    texts: list[str]
    labels: list[int] | None
    classes: list[str]

    def batches(self, size: int) -> Iterator[tuple[list[str], list[int] | None, list[int]]]:
        """(texts, labels, row numbers)."""
        for start in range(0, len(self.texts), size):
            part = slice(start, start + size)
            rows = list(range(start, min(start + size, len(self.texts))))
            yield self.texts[part], None if self.labels is None else self.labels[part], rows


def read_texts(file: Path, *, text_column: str | None = None, label_column: str | None = None) -> Texts:
    """One text a line, or the columns of a CSV or TSV file (``text`` and, where there is one, ``label``)."""
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            if file.suffix not in _TABLES:
                texts, labels = [line.rstrip("\r\n") for line in lines], None
            else:
                rows = list(csv.reader(lines, delimiter=_TABLES[file.suffix]))
                texts, labels = _columns(file, rows, text_column or "text", label_column)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputFileError(f"{file} cannot be read as texts: {error}") from None
    if not texts:
        raise InputFileError(f"{file} has no texts")
    empty = next((place for place, text in enumerate(texts) if not text.strip()), None)
    if empty is not None:
        raise InputFileError(f"{file}: text {empty} (counted from 0) is empty")
    if labels is None:
        return Texts(texts, None, [])
    classes = sorted(set(labels))
    return Texts(texts, [classes.index(label) for label in labels], classes)


def _columns(
    file: Path, rows: Sequence[Sequence[str]], text: str, label: str | None
) -> tuple[list[str], list[str] | None]:
    header = rows[0] if rows else []
    for name in (text, label):
        if name is not None and name not in header:
            raise InputFileError(f"{file} has no column {name!r}, only {', '.join(header) or 'nothing'}")
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(header):
            raise InputFileError(f"{file}, row {number}: {len(row)} fields, but the header has {len(header)}")
    own = label if label is not None else "label" if "label" in header else None
    texts = [row[header.index(text)] for row in rows[1:]]
    return texts, None if own is None else [row[header.index(own)] for row in rows[1:]]
