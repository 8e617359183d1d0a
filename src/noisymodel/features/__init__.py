"""Features on disk: `FeatureStore` and how it is exchanged with other formats."""

from __future__ import annotations

from ..errors import FeatureStoreError
from .interchange import (
    from_arrow,
    from_dataset,
    from_npy,
    from_parquet,
    from_webdataset,
    to_arrow,
    to_dataset,
    to_npy,
    to_parquet,
    to_webdataset,
)
from .reading import ShardedRows, ShardedStrings
from .store import FeatureStore

__all__ = [
    "FeatureStore",
    "FeatureStoreError",
    "ShardedRows",
    "ShardedStrings",
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
