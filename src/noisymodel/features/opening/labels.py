"""Reading of labels from a file or store, for every command."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from ... import files
from ..._checks import check_path, check_text
from ...errors import InputFileError
from ...files import LabelFile, class_order, open_table
from ...files.labels import collect_labels, label_column
from ...files.reading import files_of, is_folder
from ..lazy_columns import ShardedStrings
from ..manifest import MANIFEST_NAME
from ..store import FeatureStore


def read_labels(path: str | Path, *, column: str | None = None) -> LabelFile:
    r"""Read the labels (N,) of a feature store's folder, of a folder of Parquet files, or of a file.

    Files are those of `noisymodel.files.read_labels`; Parquet files are read in the order of their names. A store's
    labels are the names in its metadata under ``classes`` (`extract` writes them), else its numbers.

    Args:
        path: the folder or file.
        column: the column of a table, the array of an archive, or the column of a store (``labels``).

    Raises:
        InputFileError: no such file or column, or a missing or invalid label (the message names its row).

    >>> import tempfile
    >>> from noisymodel.features import read_labels
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "labels.csv").write_text("label\ncat\ndog\ncat\n")
    ...     found = read_labels(f"{folder}/labels.csv")
    >>> found.classes, found.codes.tolist()
    (('cat', 'dog'), [0, 1, 0])
    """
    file = check_path(path, "path")
    if column is not None:
        check_text(column, "column")
    if not is_folder(file):
        return files.read_labels(file, column=column)
    if not (file / MANIFEST_NAME).exists() and any(file.glob("*.parquet")):
        return collect_labels(file, _parquet_labels(files_of(file, ".parquet"), column), "row")
    return store_labels(FeatureStore.open(file), column)


def _parquet_labels(paths: Sequence[Path], column: str | None) -> Iterator[tuple[int, str]]:
    row = 0
    for path in paths:
        table = open_table(path)
        for _, (text,) in table.values(label_column(table, column)):
            yield row, text
            row += 1


def store_labels(store: FeatureStore, column: str | None = None) -> LabelFile:
    """The labels of an open store; see `read_labels`."""
    name = column if column is not None else "labels"
    if name not in store.columns or name == "features":
        raise InputFileError(f"{store.path} has no {name}: give a file of labels")
    values = store.column(name)
    if isinstance(values, ShardedStrings):
        return collect_labels(store.path, enumerate(values), "row")
    if values.ndim != 1 or values.dtype.is_floating_point or values.dtype == torch.bool:
        raise InputFileError(
            f"{store.path}: {name!r} must be class ids of shape (N,), got {values.dtype} of shape {values.shape}"
        )
    ids = np.asarray(values)
    if not len(ids):
        raise InputFileError(f"{store.path} has no rows, so no labels")
    present, codes = np.unique(ids, return_inverse=True)
    names = store.metadata.get("classes") if name == "labels" else None
    named = isinstance(names, list) and all(isinstance(one, str) for one in names) and len(set(names)) == len(names)
    if names and named and present[0] >= 0 and present[-1] < len(names):
        texts = [names[number] for number in present.tolist()]
    else:
        texts = [str(number) for number in present.tolist()]
    classes = class_order(texts)
    order = np.array([classes.index(text) for text in texts], dtype=np.int64)
    return LabelFile(store.path, order[codes.reshape(-1)], tuple(classes))
