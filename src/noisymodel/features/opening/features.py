"""Opening of a file of features in any format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from ..._checks import check_path, check_text
from ...errors import InputFileError
from ...files.reading import PICKLES, check_file, is_folder, reason, shown, suffix_of
from ..manifest import MANIFEST_NAME
from .arrays import open_arrays, open_raw
from .delimited import open_delimited
from .rows import FeatureFile
from .stored import open_parquet, open_store

KNOWN = "a feature store's folder, .npy, .npz, .safetensors, .parquet (or a folder of them), .csv, .tsv, or .bin"
RAW = (".bin", ".raw")


_BY_SUFFIX: Mapping[str, Callable[[Path, str | None], FeatureFile]] = {
    ".npy": open_arrays,
    ".npz": open_arrays,
    ".safetensors": open_arrays,
    ".parquet": open_parquet,
    ".csv": open_delimited,
    ".tsv": open_delimited,
}


def open_file(
    path: str | Path, key: str | None = None, *, dtype: str | None = None, num_features: int | None = None
) -> FeatureFile:
    """Open a file of features; only its header is read.

    Args:
        path: a feature store's folder; ``.npy``; ``.npz``; ``.safetensors``; ``.parquet``, or a folder of such files,
            read in the order of their names; ``.csv`` or ``.tsv``, also with ``.gz``; or ``.bin`` or ``.raw``: rows of
            little-endian numbers without a header.
        key: the array of an ``.npz`` or safetensors file, or the column of a Parquet or CSV file (or a pattern such as
            ``f*`` for several columns of numbers). None: ``features``, or the only possible one; in a CSV file all
            columns of numbers except labels and ids.
        dtype: for a file without a header: ``"float32"``, ``"float16"``, ``"bfloat16"`` or ``"float64"``.
        num_features: D, for a file without a header.

    Raises:
        InputFileError: no such file or array; or it is damaged, empty, or not floating point of shape (N, D).
        MissingExtraError: the file is a Parquet file, and pyarrow is not installed.
    """
    file = check_path(path, "path")
    if key is not None:
        check_text(key, "key")
    suffix = suffix_of(file)
    if (dtype is not None or num_features is not None) and (is_folder(file) or suffix not in RAW):
        raise InputFileError(f"{shown(file)}: a dtype and a number of features are for {' and '.join(RAW)} files alone")
    if is_folder(file):
        return _open_folder(file, key)
    check_file(file)
    if suffix in (".npy", *RAW) and key is not None:
        raise InputFileError(f"{shown(file)} holds one matrix, which has no name: it cannot be chosen by {key!r}")
    if suffix in RAW:
        return open_raw(file, dtype, num_features)
    if suffix in PICKLES:
        raise InputFileError(f"{shown(file)} may be a pickle, which can run code: save it as safetensors or .npy")
    if suffix not in _BY_SUFFIX or (file.suffix.lower() == ".gz" and suffix not in (".csv", ".tsv")):
        raise InputFileError(f"{shown(file)} is none of the files that are known: {KNOWN}")
    try:
        return _BY_SUFFIX[suffix](file, key)
    except OSError as error:
        raise InputFileError(f"{shown(file)} cannot be read ({reason(error)})") from None


def stores_within(path: str | Path) -> dict[str, Path]:
    """The stores of several layers in a folder that `extract` wrote, by layer; empty if the folder is a store."""
    folder = Path(path)
    if not is_folder(folder) or (folder / MANIFEST_NAME).exists():
        return {}
    found = sorted(one.parent for one in folder.rglob(MANIFEST_NAME))
    return {store.relative_to(folder).as_posix(): store for store in found}


def _open_folder(folder: Path, key: str | None) -> FeatureFile:
    if (folder / MANIFEST_NAME).exists():
        if key not in (None, "features"):
            raise InputFileError(f"{folder} is a feature store, whose features have no other key: got {key!r}")
        return open_store(folder)
    if any(folder.glob("*.parquet")):
        return open_parquet(folder, key)
    raise InputFileError(f"{folder} is a folder without {MANIFEST_NAME} and without .parquet files: no features")
