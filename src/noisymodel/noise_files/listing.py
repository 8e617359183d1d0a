"""The listing of a folder with a folder for each class: path and label of every file."""

from __future__ import annotations

import csv
import hashlib
import io
from pathlib import Path

from ..errors import InputFileError


def write_listing(folder: Path, out: Path | None) -> str:
    """Write (path, label) of every file in a folder's folders, by path, as CSV; returns the SHA-256 of the listing.

    The label is the first folder of the path. Hidden files do not count. With ``out=None`` nothing is written.

    Raises:
        InputFileError: files that are in no folder of a class, or none at all.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "label"])
    count = 0
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if not path.is_file() or any(part.startswith(".") for part in relative.parts):
            continue
        if len(relative.parts) < 2:
            raise InputFileError(f"{path} is in no folder of a class: {folder} must hold a folder for each class")
        writer.writerow([relative.as_posix(), relative.parts[0]])
        count += 1
    if not count:
        raise InputFileError(f"{folder} holds no files in folders of classes, and no .tar shards")
    content = text.getvalue().encode()
    if out is not None:
        out.write_bytes(content)
    return hashlib.sha256(content).hexdigest()
