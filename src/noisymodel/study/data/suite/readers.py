"""Readers of folders with a folder for each class, of arrays, tables and lists."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from ....errors import InputFileError
from ....features.extraction.files import PICTURES
from ....files import open_table
from .declaration import SetTable
from .pictures import ArrayPictures, FilePictures
from .places import matching, read_lines
from .rows import Found, named, numbered


def read_folder(path: Path, _: SetTable) -> Found:
    """A folder with a folder of pictures for each class."""
    if not path.is_dir():
        raise InputFileError(f"there is no folder {path}")
    paths: list[str] = []
    labels: list[str] = []
    loose: list[str] = []
    for entry in sorted(inner.name for inner in path.iterdir()):
        if not (path / entry).is_dir():
            loose += [entry] if _is_picture(entry) else []
            continue
        for folder, folders, files in os.walk(path / entry):
            folders.sort()
            below = os.path.relpath(folder, path).replace(os.sep, "/")
            found = [f"{below}/{name}" for name in sorted(files) if _is_picture(name)]
            paths += found
            labels += [entry] * len(found)
    if loose and paths:
        raise InputFileError(f"{path} has pictures beside its folders of classes, such as {loose[0]}: move them")
    if loose:
        raise InputFileError(f"{path} has pictures but no folder for each class")
    if not paths:
        raise InputFileError(f"{path} holds no pictures ({', '.join(PICTURES)})")
    return Found(str(path), paths, labels, pictures=FilePictures(path, paths))


def _is_picture(name: str) -> bool:
    return name.lower().endswith(PICTURES) and not name.startswith(".")


# ---- arrays ----------------------------------------------------------------------------------------------------------


def read_arrays(path: Path, table: SetTable) -> Found:
    """Arrays ``images`` (or ``texts``), ``labels``, ``captions`` and ``classes``.

    In one ``.npz`` file, or each as an ``.npy`` file of a folder, which is mapped and not read.
    """
    if path.is_dir():
        files = {file.stem: file for file in sorted(path.glob("*.npy"))}
        arrays: dict[str, NDArray[Any]] = {name: _loaded(file, mapped=True) for name, file in files.items()}
        large = tuple(files.values())
    else:
        arrays, large = _loaded(path, mapped=False), (path,)
    counted = [name for name in ("images", "texts", "labels", "captions") if name in arrays]
    if not {"images", "texts"} & set(counted):
        raise InputFileError(f"{path} has no array `images` or `texts`, only {', '.join(arrays) or 'nothing'}")
    lengths = {name: len(arrays[name]) for name in counted}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise InputFileError(f"{path}: arrays differ in their number of rows: {shown}")
    count = lengths[counted[0]]
    classes = tuple(map(str, arrays["classes"].tolist())) if "classes" in arrays else None
    return Found(
        str(path),
        numbered(count),
        _array_labels(path, arrays["labels"], classes, table) if "labels" in arrays else None,
        classes,
        pictures=ArrayPictures(arrays["images"], str(path)) if "images" in arrays else None,
        texts=[(str(text),) for text in arrays["texts"].tolist()] if "texts" in arrays else None,
        captions=[str(text) for text in arrays["captions"].tolist()] if "captions" in arrays else None,
        files=large,
    )


def _loaded(path: Path, *, mapped: bool) -> Any:
    try:
        if mapped:
            return np.load(path, mmap_mode="r", allow_pickle=False)
        with path.open("rb") as file:
            found = np.load(file, allow_pickle=False)
            return {name: found[name] for name in found.files}
    except (OSError, ValueError, EOFError, AttributeError, BadZipFile) as error:
        raise InputFileError(f"{path} cannot be read as NumPy arrays: {error}") from None


def _array_labels(path: Path, labels: NDArray[Any], classes: tuple[str, ...] | None, table: SetTable) -> list[str]:
    if labels.ndim != 1 or labels.dtype.kind not in "iuU":
        raise InputFileError(
            f"{path}: `labels` must be integers or texts, one a row; got {labels.dtype} {labels.shape}"
        )
    if labels.dtype.kind == "U" or classes is None or table.labels == "index":
        return [str(label) for label in labels.tolist()]
    return named(labels, classes, path)


# ---- tables and lists ------------------------------------------------------------------------------------------------


def read_tables(path: Path, table: SetTable) -> Found:
    """CSV, TSV, JSON lines or Parquet: paths of pictures or texts, with labels and captions."""
    files = matching(path)
    there = open_table(files[0]).columns()
    columns = table.columns(there, {role: [role] for role in ("path", "label", "caption", "text")})
    if not {"path", "text"} & set(columns):
        raise InputFileError(
            f"{files[0]} has no column 'path' or 'text', only {', '.join(there)}; `path_column` or `text_column` names "
            "one"
        )
    found: dict[str, list[str]] = {role: [] for role in columns}
    for file in files:
        for _, values in open_table(file).values(*columns.values()):
            for role, value in zip(columns, values, strict=True):
                found[role].append(value)
    paths, texts = found.get("path"), [found[role] for role in ("text", "text_pair") if role in found]
    names = numbered(len(texts[0] if paths is None else paths))
    folder = Path(table.root) if table.root else files[0].parent
    return Found(
        str(path),
        names if paths is None else [f"{number}/{name}" for number, name in zip(names, paths, strict=True)],
        found.get("label"),
        pictures=None if paths is None else FilePictures(folder, paths),
        texts=list(zip(*texts, strict=True)) if paths is None else None,
        captions=found.get("caption"),
        lists=tuple(files),
    )


def read_lists(path: Path, table: SetTable) -> Found:
    """Text files with the path of a picture in each line; see ``file_pattern`` and ``label_from``."""
    files = matching(path)
    folder = Path(table.root) if table.root else files[0].parent
    paths: list[str] = []
    labels: list[str] = []
    for file in files:
        for number, line in enumerate(read_lines(file), start=1):
            if not line or line.startswith("#"):
                continue
            first, _, rest = line.partition(" ")
            picture = table.file_pattern.format(first)
            label = {
                "folder": Path(picture).parent.name,
                "stem": Path(picture).stem.rpartition("_")[0],
            }.get(table.label_from, rest.strip())
            if not label:
                raise InputFileError(f"{file}, line {number}: no label in {line!r}")
            paths.append(picture)
            labels.append(label)
    names = [f"{number}/{name}" for number, name in zip(numbered(len(paths)), paths, strict=True)]
    distinct = len(set(paths)) == len(paths)
    pictures = FilePictures(folder, paths)
    return Found(str(path), paths if distinct else names, labels, pictures=pictures, lists=tuple(files))
