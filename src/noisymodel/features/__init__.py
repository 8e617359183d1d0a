"""Features on disk: `FeatureStore`, its exchange with other formats, and the sources that fill it."""

from __future__ import annotations

from ..errors import FeatureStoreError
from .extraction import Backbone, extract, load_backbone, weights_fingerprint
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
from .lazy_columns import ShardedRows, ShardedStrings
from .opening import open_features, read_labels
from .remote import EmbeddingClient, OpenAIEmbeddings, embed
from .store import FeatureStore

__all__ = [
    "Backbone",
    "EmbeddingClient",
    "FeatureStore",
    "FeatureStoreError",
    "OpenAIEmbeddings",
    "ShardedRows",
    "ShardedStrings",
    "embed",
    "extract",
    "from_arrow",
    "from_dataset",
    "from_npy",
    "from_parquet",
    "from_webdataset",
    "load_backbone",
    "open_features",
    "read_labels",
    "to_arrow",
    "to_dataset",
    "to_npy",
    "to_parquet",
    "to_webdataset",
    "weights_fingerprint",
]
