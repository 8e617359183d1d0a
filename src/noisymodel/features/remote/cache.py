"""The cache of paid embeddings, keyed by their texts: one SQLite file."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from ...errors import InputFileError
from ...files.reading import shown
from .requests import Vectors

_AT_ONCE = 500  # texts looked up in one statement
_WAIT = 60.0  # seconds to wait for another process that is writing


class EmbeddingCache:
    """Vectors by (client, text). A write is complete in the file when the call returns; processes may share a file."""

    def __init__(self, path: Path, client: Mapping[str, Any]) -> None:
        self._path = path = path.absolute()
        self._client = json.dumps(client, sort_keys=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._file = sqlite3.connect(os.fsencode(path), timeout=_WAIT)
            with self._file:
                self._file.execute("CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL)")
        except sqlite3.OperationalError as error:  # a folder that is read-only or full, a name that is too long
            raise InputFileError(f"{shown(path)}: the cache of embeddings cannot be opened ({error})") from None
        except sqlite3.DatabaseError as error:
            raise self._damaged(error) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def get(self, texts: Iterable[str]) -> dict[str, Vectors]:
        """The cached vectors of the texts."""
        keys = {self._key(text): text for text in texts}
        found: dict[str, Vectors] = {}
        listed = list(keys)
        try:
            for start in range(0, len(listed), _AT_ONCE):
                part = listed[start : start + _AT_ONCE]
                marks = ",".join("?" * len(part))
                query = f"SELECT key, vector FROM vectors WHERE key IN ({marks})"  # noqa: S608 - question marks only
                for key, vector in self._file.execute(query, part):
                    found[keys[bytes(key)]] = np.frombuffer(vector, dtype="<f4")
        except (sqlite3.DatabaseError, ValueError) as error:
            raise self._damaged(error) from None
        return found

    def put(self, texts: Sequence[str], vectors: Vectors) -> None:
        """Store the vectors of the texts permanently."""
        rows = [(self._key(text), row.astype("<f4").tobytes()) for text, row in zip(texts, vectors, strict=True)]
        with self._file:
            self._file.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)

    def _key(self, text: str) -> bytes:
        return hashlib.sha256(f"{self._client}\0{text}".encode()).digest()

    def _damaged(self, error: Exception) -> InputFileError:
        return InputFileError(
            f"{shown(self._path)}: no cache of embeddings, or a damaged one ({error}): delete it, or name another file"
        )
