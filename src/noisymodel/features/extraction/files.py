"""Pictures in folders and texts in files, the data of the command line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from ...errors import InputFileError, MissingExtraError
from ...files import check_file, open_table
from ...files.labels import collect_labels
from ...files.labels import label_column as column_of
from ...files.reading import shown, suffix_of
from ...files.tables import TEXT_TABLES, LineTable

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")


class PictureFolder:
    """The pictures of a folder with a subfolder for each class: (tensor, class id, path within the folder).

    Classes are numbered by name, and pictures are ordered by path. Without subfolders all pictures are of class 0, and
    `classes` is empty. ``transform`` may be set later, before the first picture is read.
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
    """Texts, with or without labels (class ids, with the classes by number)."""

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
    """Read one text a line, or columns of a CSV, TSV, JSONL or Parquet file: ``text`` and, if present, ``label``.

    Raises:
        InputFileError: no such file or column, an empty text, or a missing label; the message names the row.
    """
    check_file(file)
    label = None
    if suffix_of(file) in (*TEXT_TABLES, ".parquet"):
        table = open_table(file)
        names = [column_of(table, text_column or "text")]
        label = label_column or ("label" if "label" in table.columns() else None)
        names += [] if label is None else [column_of(table, label)]
    elif text_column is not None or label_column is not None:
        raise InputFileError(f"{shown(file)} has one text a line and no columns")
    else:
        table = LineTable(file)
        names = table.columns()
    rows = list(table.values(*names))
    _check_texts(file, ((number, values[0]) for number, values in rows), table.unit)
    texts = [values[0] for _, values in rows]
    if label is None:
        return Texts(texts, None, [])
    labels = collect_labels(file, ((number, values[1]) for number, values in rows), table.unit)
    return Texts(texts, labels.codes.tolist(), list(labels.classes))


def _check_texts(file: Path, texts: Iterable[tuple[int, str]], unit: str) -> None:
    number = None
    for number, text in texts:
        if not text.strip():
            raise InputFileError(f"{shown(file)}, {unit} {number}: the text is empty")
    if number is None:
        raise InputFileError(f"{shown(file)} has no texts")
