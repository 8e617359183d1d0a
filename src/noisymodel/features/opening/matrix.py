"""Features to fit or predict on, from any file.

Public in `noisymodel.features`; `open_file` is public in `noisymodel.spectrum_files`, and the site links each file of
source to one page only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy.typing as npt

from ..store import FeatureStore
from .features import open_file
from .stored import StoredFile


def open_features(path: str | Path, *, key: str | None = None) -> FeatureStore | npt.NDArray[Any]:
    """Open features (N, D) for a fit or a prediction: a store, or an array that is mapped into memory if possible.

    The files are those of `open_file`. ``.npy`` and safetensors are mapped (bfloat16 is read as float32); archives,
    Parquet and CSV are read into memory.

    Args:
        path: the folder or file.
        key: the array or column, see `open_file`.

    Raises:
        InputFileError: as `open_file`.
        MissingExtraError: the file is a Parquet file, and pyarrow is not installed.

    >>> import tempfile
    >>> import numpy as np
    >>> from noisymodel.features import open_features
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(f"{folder}/features.npy", np.eye(3, 2, dtype=np.float32))
    ...     open_features(f"{folder}/features.npy").shape
    (3, 2)
    """
    file = open_file(path, key)
    return file.store if isinstance(file, StoredFile) else file.array()
