"""Files on disk: atomic writes, checksums and tensors without pickle, for every room of the library."""

from __future__ import annotations

from .atomic import file_checksum, sync_folder, write_file
from .tensors import encode_tensors, read_tensors

__all__ = ["encode_tensors", "file_checksum", "read_tensors", "sync_folder", "write_file"]
