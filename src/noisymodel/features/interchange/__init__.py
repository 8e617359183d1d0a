"""Import and export of stores in other formats, as streams: at most some thousand rows are in memory."""

from __future__ import annotations

from .npy import from_npy, to_npy
from .samples import from_webdataset, to_webdataset
from .tables import from_arrow, from_dataset, from_parquet, to_arrow, to_dataset, to_parquet

__all__ = [
    "from_arrow",
    "from_dataset",
    "from_npy",
    "from_parquet",
    "from_webdataset",
    "to_arrow",
    "to_dataset",
    "to_npy",
    "to_parquet",
    "to_webdataset",
]
