"""Hugging Face data sets: a folder that ``save_to_disk`` wrote, a folder that ``load_dataset`` reads, or the Hub."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from ....errors import InputFileError, import_extra
from .declaration import SetTable
from .pictures import opened
from .rows import Found, Text, numbered

HUB = "hub:"
_IMAGE, _LABEL, _TEXT, _CAPTION = ("image", "img"), ("label", "labels"), ("text", "sentence"), ("caption", "captions")


class HubPictures(NamedTuple):
    """Pictures of a column, decoded by PIL."""

    dataset: Any
    column: str
    place: str

    def name(self, row: int) -> str:
        """The data set, and the row in it."""
        return f"{self.place}, row {row}"

    def read(self, row: int) -> Any:
        """A picture of PIL or an array."""
        value = self.dataset[row][self.column]
        if isinstance(value, dict):
            own = cast("dict[str, Any]", value)
            return opened(own["bytes"] if own.get("bytes") is not None else Path(own["path"]).read_bytes())
        return np.asarray(value, dtype=np.uint8)


def read_hub(path: Path | str, table: SetTable) -> Found:
    """Columns ``image`` (or ``text``), ``label`` and ``caption``, or those that are declared."""
    place = f"{path}" + "".join(f" [{part}]" for part in (table.subset, table.split) if part)
    dataset = _loaded(path, table, place)
    columns: list[str] = list(dataset.column_names)
    image = _column(table.path_column, _IMAGE, columns, place)
    text = _column(table.text_column, _TEXT, columns, place) if image is None or table.text_column else None
    if image is None and text is None:
        raise InputFileError(f"{place} has no column of pictures or texts, only {', '.join(columns)}")
    label = _column(table.label_column, _LABEL, columns, place)
    caption = _column(table.caption_column, _CAPTION, columns, place)
    labels, classes = (None, None) if label is None else _labels(dataset, label, table)
    count = len(dataset)
    return Found(
        place,
        numbered(count),
        labels,
        classes,
        pictures=None if image is None or text else HubPictures(_undecoded(dataset, image), image, place),
        texts=None if text is None else _texts(dataset, text, table, columns, place),
        captions=None if caption is None else [str(value) for value in dataset[caption]],
        extra=f"{dataset._fingerprint} {count}",
    )


def _loaded(path: Path | str, table: SetTable, place: str) -> Any:
    datasets = import_extra("datasets", extra="datasets", purpose="Hugging Face data sets")
    try:
        if isinstance(path, Path) and any((path / name).is_file() for name in ("state.json", "dataset_dict.json")):
            found: Any = datasets.load_from_disk(str(path))
        else:
            found = datasets.load_dataset(str(path), table.subset or None)
    except (OSError, ValueError, RuntimeError) as error:
        raise InputFileError(
            f"{place} cannot be read as a Hugging Face data set: {' '.join(str(error).split())}"
        ) from None
    if isinstance(found, datasets.DatasetDict):
        splits = [str(name) for name in found]
        if table.split not in splits:
            raise InputFileError(f"{place}: `split` must be one of {', '.join(splits)}, got {table.split!r}")
        return found[table.split]
    return found


def _column(declared: str, usual: Sequence[str], columns: Sequence[str], place: str) -> str | None:
    if declared and declared not in columns:
        raise InputFileError(f"{place} has no column {declared!r}, only {', '.join(columns)}")
    return declared or next((name for name in usual if name in columns), None)


def _undecoded(dataset: Any, column: str) -> Any:
    import datasets

    if isinstance(dataset.features[column], datasets.Image):
        return dataset.select_columns([column]).cast_column(column, datasets.Image(decode=False))
    return dataset.select_columns([column])


def _labels(dataset: Any, column: str, table: SetTable) -> tuple[list[str], tuple[str, ...] | None]:
    values = list(dataset[column])
    names: list[str] | None = getattr(dataset.features[column], "names", None)
    if names is None or table.labels == "index":
        return [str(value) for value in values], None
    return [names[value] if value is not None and value >= 0 else "-1" for value in values], tuple(names)


def _texts(dataset: Any, column: str, table: SetTable, columns: Sequence[str], place: str) -> list[Text]:
    second = _column(table.text_pair_column, (), columns, place)
    parts = [dataset[name] for name in (column, second) if name is not None]
    return [tuple(map(str, texts)) for texts in zip(*parts, strict=True)]
