"""What a suite's data are, in 16 digits: a part of the name of everything that is computed from them.

Lists, tables and label maps go in with their bytes; pictures, arrays and shards with path, size and time of change; the
classes and the number of each row as they were read; Hugging Face data sets with the fingerprint that they have. So a
file that is touched, or copied without its times, makes a study compute anew; one that changes is noticed unless its
size and time are kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from ....errors import ConfigError
from ....files import file_checksum
from .rows import Found, Rows


def identity(sets: Iterable[Rows], others: Iterable[Path] = ()) -> str:
    """The hash of sets and of further small files.

    Raises:
        ConfigError: a file has gone since the set was opened.
    """
    digest = sha256()
    known: list[Found] = []
    try:
        for rows in sets:
            _add_rows(digest, rows)
            if not any(rows.found is found for found in known):
                _add_files(digest, rows)
                known.append(rows.found)
        for path in others:
            digest.update(f"{path.name} {file_checksum(path)}\n".encode())
    except OSError as error:
        raise ConfigError(f"config key `suite`: {error.filename} cannot be read: {error.strerror}") from None
    return digest.hexdigest()[:16]


def _add_rows(digest: Any, rows: Rows) -> None:
    digest.update(f"{len(rows)} {rows.classes} {rows.border} {rows.found.extra}\n".encode())
    digest.update(np.ascontiguousarray(rows.order).tobytes())
    digest.update(np.ascontiguousarray(rows.codes).tobytes())


def _add_files(digest: Any, rows: Rows) -> None:
    found = rows.found
    for path in found.lists:
        digest.update(f"{path.name} {file_checksum(path)}\n".encode())
    for path in found.files:
        digest.update(f"{path.name} {_state(path)}\n".encode())
    if found.picture_files is not None:
        folder, names = found.picture_files
        for row in rows.order.tolist():
            digest.update(f"{names[row]} {_state(folder / names[row])}\n".encode())


def _state(path: Path) -> str:
    status = path.stat()
    return f"{status.st_size} {status.st_mtime_ns}"
