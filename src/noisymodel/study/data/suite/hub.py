"""Hugging Face data sets: a folder that ``save_to_disk`` wrote, a folder that ``load_dataset`` reads, or the Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from ....errors import InputFileError, import_extra
from ....files.reading import reason
from .declaration import SetTable
from .pictures import opened
from .rows import Found, numbered

HUB = "hub:"
_USUAL = {
    "path": ("image", "img"),
    "label": ("label", "labels"),
    "caption": ("caption", "captions"),
    "text": ("text", "sentence"),
}


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


def is_saved(path: Path) -> bool:
    """Whether ``save_to_disk`` wrote a folder."""
    return any((path / name).is_file() for name in ("state.json", "dataset_dict.json"))


def read_hub(path: Path | str, table: SetTable) -> Found:
    """Columns ``image`` (or ``text``), ``label`` and ``caption``, or those that are declared."""
    place = f"{path}" + "".join(f" [{part}]" for part in (table.subset, table.split) if part)
    dataset = _loaded(path, table, place)
    there: list[str] = list(dataset.column_names)
    columns = table.columns(there, _USUAL)
    absent = [name for name in columns.values() if name not in there]
    if absent:
        raise InputFileError(f"{place} has no column {absent[0]!r}, only {', '.join(there)}")
    if not {"path", "text"} & set(columns):
        raise InputFileError(f"{place} has no column of pictures or texts, only {', '.join(there)}")
    labels, classes = _labels(dataset, columns["label"], table) if "label" in columns else (None, None)
    texts = [dataset[columns[role]] for role in ("text", "text_pair") if role in columns]
    count = len(dataset)
    return Found(
        place,
        numbered(count),
        labels,
        classes,
        pictures=None if "text" in columns else _pictures(dataset, columns["path"], place),
        texts=[tuple(map(str, text)) for text in zip(*texts, strict=True)] if "text" in columns else None,
        captions=[str(value) for value in dataset[columns["caption"]]] if "caption" in columns else None,
        extra=f"{dataset._fingerprint} {count}",
    )


def _loaded(path: Path | str, table: SetTable, place: str) -> Any:
    datasets = import_extra("datasets", extra="datasets", purpose="Hugging Face data sets")
    try:
        if isinstance(path, Path) and is_saved(path):
            found: Any = datasets.load_from_disk(str(path))
        else:
            found = datasets.load_dataset(str(path), table.subset or None)
    except (OSError, ValueError, RuntimeError) as error:
        raise InputFileError(f"{place} cannot be read as a Hugging Face data set: {reason(error)}") from None
    if isinstance(found, datasets.DatasetDict):
        splits = [str(name) for name in found]
        if table.split not in splits:
            raise InputFileError(f"{place}: `split` must be one of {', '.join(splits)}, got {table.split!r}")
        return found[table.split]
    return found


def _pictures(dataset: Any, column: str, place: str) -> HubPictures:
    import datasets

    chosen = dataset.select_columns([column])
    if isinstance(chosen.features[column], datasets.Image):
        chosen = chosen.cast_column(column, datasets.Image(decode=False))
    return HubPictures(chosen, column, place)


def _labels(dataset: Any, column: str, table: SetTable) -> tuple[list[str], tuple[str, ...] | None]:
    values = list(dataset[column])
    names: list[str] | None = getattr(dataset.features[column], "names", None)
    if names is None or table.labels == "index":
        return [str(value) for value in values], None
    return [names[value] if value is not None and value >= 0 else "-1" for value in values], tuple(names)
