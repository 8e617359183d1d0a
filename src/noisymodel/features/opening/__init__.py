"""Opening of files of features and labels in any format, for every command and for the stores."""

from __future__ import annotations

from .features import KNOWN, open_file, stores_within
from .labels import read_labels, store_labels
from .matrix import open_features
from .rows import FeatureFile

__all__ = ["KNOWN", "FeatureFile", "open_features", "open_file", "read_labels", "store_labels", "stores_within"]
