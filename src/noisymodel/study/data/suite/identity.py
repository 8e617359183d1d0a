"""What a suite's data are, in 16 digits: a part of the name of everything that is computed from them.

Lists, tables and label maps go in with their bytes; pictures, arrays and shards with path, size and time of change; the
classes and the number of each row as they were read; Hugging Face data sets with the fingerprint that they have. So a
file that is touched, or copied without its times, makes a study compute anew; one that changes is noticed unless its
size and time are kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

import numpy as np

from ....errors import ConfigError
from ....files import file_checksum
from .rows import Rows


def identity(sets: Iterable[Rows], others: Iterable[Path] = (), further: object = None) -> str:
    """The hash of sets, of further small files and of a JSON-ready value.

    Raises:
        ConfigError: a file has gone since the set was opened.
    """
    digest = sha256()
    for rows in sets:
        digest.update(f"{len(rows)} {rows.classes} {rows.border} {rows.found.extra} {rows.found.state}\n".encode())
        digest.update(np.ascontiguousarray(rows.order).tobytes())
        digest.update(np.ascontiguousarray(rows.codes).tobytes())
    try:
        for path in others:
            digest.update(f"{path.name} {file_checksum(path)}\n".encode())
    except OSError as error:
        raise ConfigError(f"config key `suite`: {error.filename} cannot be read: {error.strerror}") from None
    digest.update(json.dumps(further).encode())
    return digest.hexdigest()[:16]
