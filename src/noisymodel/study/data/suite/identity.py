"""The identity of a suite's data, a hash of 16 digits, which is a part of the key of everything computed from them.

It contains the bytes of lists, tables and label maps; the path, size and modification time of pictures, arrays and
shards; the classes and the class of each row; and the fingerprint of Hugging Face data sets. So a study is computed
again if a file is touched, or copied without its times. A changed file is noticed unless its size and time are kept.
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
        ConfigError: a file has disappeared since the set was opened.
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
