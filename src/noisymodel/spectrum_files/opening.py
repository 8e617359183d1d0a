"""A file of features by its path, whatever its format."""

from __future__ import annotations

from pathlib import Path

from ..errors import InputFileError
from ..features.manifest import MANIFEST_NAME
from .archives import open_npz
from .dense import open_npy, open_raw, open_safetensors
from .rows import FeatureFile
from .stored import open_parquet, open_store

KNOWN = "a feature store's folder, .npy, .npz, .safetensors, .parquet (or a folder of them), or .bin"
RAW = (".bin", ".raw")
_PICKLES = (".pt", ".pth", ".pkl", ".pickle")


def open_file(
    path: str | Path, key: str | None = None, *, dtype: str | None = None, num_features: int | None = None
) -> FeatureFile:
    """Open a file of features; only its header is read.

    Args:
        path: a feature store's folder; ``.npy``; ``.npz``; ``.safetensors``; ``.parquet``, or a folder of them, taken
            in the order of their names; or ``.bin`` or ``.raw``: rows of little-endian numbers without a header.
        key: which array of an ``.npz`` or safetensors file, which column of a Parquet file (or a pattern such as
            ``f*`` for several columns of numbers). None: ``features``, or the only one that can be meant.
        dtype: of a file without a header: ``"float32"``, ``"float16"``, ``"bfloat16"`` or ``"float64"``.
        num_features: of a file without a header.

    Raises:
        InputFileError: there is no such file or array, or it is damaged, empty, or not floating point of shape (N, D).
        MissingExtraError: a Parquet file, and pyarrow is not installed.
    """
    file = Path(path)
    suffix = file.suffix.lower()
    if (dtype is not None or num_features is not None) and (file.is_dir() or suffix not in RAW):
        raise InputFileError(f"{file}: a dtype and a number of features are for {' and '.join(RAW)} files alone")
    if file.is_dir():
        return _open_folder(file, key)
    if not file.exists():
        raise InputFileError(f"there is no file {file}")
    if suffix in (".npy", *RAW) and key is not None:
        raise InputFileError(f"{file} holds one matrix, which has no name: it cannot be chosen by the key {key!r}")
    try:
        if suffix == ".npy":
            return open_npy(file)
        if suffix == ".npz":
            return open_npz(file, key)
        if suffix == ".safetensors":
            return open_safetensors(file, key)
        if suffix == ".parquet":
            return open_parquet(file, key)
        if suffix in RAW:
            return open_raw(file, dtype, num_features)
    except OSError as error:
        raise InputFileError(f"{file} cannot be read ({error.strerror or error})") from None
    if suffix in _PICKLES:
        raise InputFileError(f"{file} may be a pickle, which can run code: save the tensor as safetensors or .npy")
    raise InputFileError(f"{file} is none of the files that are known: {KNOWN}")


def _open_folder(folder: Path, key: str | None) -> FeatureFile:
    if (folder / MANIFEST_NAME).exists():
        if key not in (None, "features"):
            raise InputFileError(f"{folder} is a feature store, whose features have no other key: got {key!r}")
        return open_store(folder)
    if any(folder.glob("*.parquet")):
        return open_parquet(folder, key)
    raise InputFileError(f"{folder} is a folder without {MANIFEST_NAME} and without .parquet files: no features")
