"""Import and export of WebDataset tar files of samples (extra ``webdataset``)."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Unpack, cast

import numpy as np

from ..._checks import check_integer
from ...errors import InputFileError, import_extra
from ...files import new_file
from ...files.reading import files_of
from ..store import FeatureStore
from . import importing
from .importing import Chunk, StoreOptions, as_array, import_chunks, pieces

_LABELS = ("labels.npy", "cls")


def to_webdataset(store: FeatureStore, path: str | Path, *, rows_per_file: int = 10_000) -> list[Path]:
    """Write a store as tar files ``000000.tar``, ... in the folder ``path``.

    A sample's ``__key__`` is the row's number; its entries are ``features.npy``, ``cls`` (class ids, as text) or
    ``labels.npy`` (class probabilities), and ``NAME.txt`` (strings) or ``NAME.npy`` for ids and columns. bfloat16
    becomes float32. WebDataset reads names of entries in lower case. The store's metadata is not written.

    Returns:
        The paths of the files.

    Raises:
        MissingExtraError: webdataset is not installed.
    """
    webdataset = _webdataset()
    check_integer(rows_per_file, "rows_per_file", minimum=1)
    files: list[Path] = []
    for number, start in enumerate(range(0, len(store), rows_per_file)):
        file = Path(path) / f"{number:06d}.tar"
        end = min(start + rows_per_file, len(store))
        with new_file(file) as partial, webdataset.TarWriter(str(partial), encoder=False, mtime=0) as writer:
            for rows in pieces(end - start):
                for sample in _samples(store, start + rows.start, start + rows.stop):
                    writer.write(sample)
        files.append(file)
    return files


def from_webdataset(
    samples: str | Path | Sequence[str | Path] | Iterable[dict[str, Any]],
    path: str | Path,
    *,
    features: str = "features.npy",
    labels: str | None = None,
    ids: str | None = None,
    columns: Sequence[str] | None = None,
    **options: Unpack[StoreOptions],
) -> FeatureStore:
    """Make a store from the samples of tar files, in their order.

    Entries ``*.npy`` are arrays (never Python objects), ``cls`` is an integer as text, and all others are text.

    Args:
        samples: tar files, a folder of ``*.tar`` files (by name), or an iterable of samples whose entries are bytes,
            such as ``webdataset.WebDataset(urls)``.
        path: the folder of the new store; it appears when all rows are in it.
        features: the entry of features (D,).
        labels: the entry of labels; None: ``labels.npy`` or ``cls``, if present.
        ids: the entry of ids; None: ``ids.txt`` or ``ids.npy`` if present, else the samples' ``__key__``.
        columns: the further entries to import; None: all other ``*.npy`` and ``*.txt``. The name of a column is that
            of its entry without the ending.
        options: as in `from_npy`.

    Raises:
        FileExistsError: ``path`` exists.
        InputFileError: a sample lacks an entry, or an entry does not have the type of its name; the message has the
            sample's ``__key__`` and file.
        ValueError: no samples, or rows that `FeatureStore.append` refuses.
        MissingExtraError: webdataset is not installed.
    """
    _webdataset()
    files = _listed(samples)
    source = iter(cast("Iterable[dict[str, Any]]", samples)) if files is None else _read(files)
    name = "the samples" if files is None else ", ".join(map(str, files[:3]))
    return import_chunks(_chunks(source, features, labels, ids, columns), path, name, **options)


def _samples(store: FeatureStore, start: int, end: int) -> Iterator[dict[str, Any]]:
    columns: dict[str, Any] = {name: store.column(name)[start:end] for name in store.columns}
    for row in range(end - start):
        sample: dict[str, Any] = {"__key__": f"{start + row:012d}"}
        for name, values in columns.items():
            if isinstance(values, list):
                sample[f"{name}.txt"] = values[row].encode()
            elif name == "labels" and values.ndim == 1:
                sample["cls"] = str(int(values[row])).encode()
            else:
                content = io.BytesIO()
                np.lib.format.write_array(content, as_array(values[row]))
                sample[f"{name}.npy"] = content.getvalue()
        yield sample


def _chunks(samples: Iterator[dict[str, Any]], *names: Any) -> Iterator[Chunk]:
    taken: tuple[str, str | None, str, Sequence[str]] | None = None
    while several := list(islice(samples, importing.BATCH_ROWS)):
        taken = taken or _taken(several[0], *names)
        entries = [name for name in (*taken[:3], *taken[3]) if name]
        yield _chunk([[_decoded(sample, name) for name in entries] for sample in several], *taken)


def _taken(
    sample: Mapping[str, Any], features: str, labels: str | None, ids: str | None, columns: Sequence[str] | None
) -> tuple[str, str | None, str, Sequence[str]]:
    """The entries to import; by default those of the first sample."""
    if labels is None:
        labels = next((name for name in _LABELS if name in sample), None)
    if ids is None:
        ids = next((name for name in ("ids.txt", "ids.npy") if name in sample), "__key__")
    known = (features, labels, ids)
    others = [name for name in sample if name.endswith((".npy", ".txt")) and name not in known]
    return features, labels, ids, others if columns is None else columns


def _chunk(rows: list[list[Any]], features: str, labels: str | None, ids: str, others: Sequence[str]) -> Chunk:
    columns = [list(column) for column in zip(*rows, strict=True)]
    arrays = iter(columns)
    return Chunk(
        _stacked(next(arrays), features),
        labels=None if labels is None else _stacked(next(arrays), labels),
        ids=_stacked(next(arrays), ids),
        columns={name.rpartition(".")[0] or name: _stacked(next(arrays), name) for name in others},
    )


def _stacked(values: list[Any], name: str) -> Any:
    if isinstance(values[0], str):
        return values
    try:
        return np.stack(values)
    except ValueError:
        shapes = sorted({np.shape(value) for value in values})
        raise InputFileError(f"the entries {name} must have one shape, got {shapes[0]} and {shapes[-1]}") from None


def _decoded(sample: Mapping[str, Any], name: str) -> Any:
    if name not in sample:
        raise InputFileError(f"{_place(sample)} has no entry {name}: it has {', '.join(map(str, sample))}")
    content = sample[name]
    if isinstance(content, str):
        return content
    try:
        if name.endswith(".npy"):
            return np.load(io.BytesIO(content), allow_pickle=False)
        text = bytes(content).decode()
        return np.int64(text) if name.endswith("cls") else text
    except (ValueError, EOFError) as error:
        raise InputFileError(f"the entry {name} of {_place(sample)} cannot be read ({error})") from None


def _place(sample: Mapping[str, Any]) -> str:
    return f"the sample {sample.get('__key__')!r} in {sample.get('__url__')}"


def _read(files: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """The samples of local tar files; each file is closed after it has been read."""
    from webdataset.tariterators import group_by_keys, tar_file_expander

    for name in files:
        try:
            with name.open("rb") as stream:
                yield from group_by_keys(tar_file_expander(iter([{"url": str(name), "stream": stream}])))
        except tarfile.TarError as error:
            raise InputFileError(f"{name} is no tar file, or damaged ({error.args[0]})") from None


def _listed(samples: object) -> list[Path] | None:
    """The files to read if ``samples`` names files, else None."""
    if isinstance(samples, (str, Path)):
        return files_of(Path(samples), ".tar")
    if isinstance(samples, Sequence) and all(
        isinstance(name, (str, Path)) for name in cast("Sequence[object]", samples)
    ):
        return [Path(name) for name in cast("Sequence[str | Path]", samples)]
    return None


def _webdataset() -> Any:
    return import_extra("webdataset", extra="webdataset", purpose="WebDataset's tar files")
