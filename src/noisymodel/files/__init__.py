"""Files on disk: atomic writes, locks, tables, labels, and tensors without pickle, for the whole library."""

from __future__ import annotations

from .atomic import check_writable, file_checksum, new_file, new_folder, sync_folder, write_file
from .labels import LabelFile, class_order, label_text, read_labels
from .lock import Lock, LockedError
from .reading import check_file, read_json
from .tables import open_table
from .tensors import encode_tensors, read_tensors

__all__ = [
    "LabelFile",
    "Lock",
    "LockedError",
    "check_file",
    "check_writable",
    "class_order",
    "encode_tensors",
    "file_checksum",
    "label_text",
    "new_file",
    "new_folder",
    "open_table",
    "read_json",
    "read_labels",
    "read_tensors",
    "sync_folder",
    "write_file",
]
