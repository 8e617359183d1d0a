"""Features on disk: `FeatureStore`, its exchange with other formats, and the sources that fill it."""

from __future__ import annotations

from ..errors import FeatureStoreError
from .extraction.backbones import Backbone, load_backbone
from .extraction.extract import extract
from .extraction.weights import weights_fingerprint
from .interchange.npy import from_npy, to_npy
from .interchange.samples import from_webdataset, to_webdataset
from .interchange.tables import from_arrow, from_dataset, from_parquet, to_arrow, to_dataset, to_parquet
from .lazy_columns import ShardedRows, ShardedStrings
from .opening import open_features, read_labels
from .remote.client import EmbeddingClient, OpenAIEmbeddings
from .remote.embed import embed
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
