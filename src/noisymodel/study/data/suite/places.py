"""Paths of a configuration: expansion of braces and stars, and existing files."""

from __future__ import annotations

import os
import re
from glob import glob
from pathlib import Path

from ....errors import InputFileError

_BRACES = re.compile(r"\{([^{}]*(?:,|\.\.)[^{}]*)\}")


def expanded(path: str) -> Path:
    """A path with its ``~`` and ``$VARIABLES`` expanded."""
    return Path(os.path.expandvars(path)).expanduser()


def expand_braces(pattern: str) -> list[str]:
    """Every path that a pattern with ``{a,b}`` and ``{000..099}`` stands for.

    >>> expand_braces("{train,val}1.txt"), expand_braces("shard-{08..10}.tar")
    (['train1.txt', 'val1.txt'], ['shard-08.tar', 'shard-09.tar', 'shard-10.tar'])
    """
    found = _BRACES.search(pattern)
    if found is None:
        return [pattern]
    before, after = pattern[: found.start()], pattern[found.end() :]
    first, dots, last = found[1].partition("..")
    if dots and first.isdigit() and last.isdigit():
        words = [str(number).zfill(len(first)) for number in range(int(first), int(last) + 1)]
    else:
        words = found[1].split(",")
    return [whole for word in words for whole in expand_braces(before + word + after)]


def matching(pattern: Path) -> list[Path]:
    """The files that match a pattern, in order; each expansion of its braces must match.

    Raises:
        InputFileError: no file matches; the message names the pattern.
    """
    found: list[Path] = []
    for text in expand_braces(str(pattern)):
        literal = text.replace("[", "[[]")  # only stars and question marks choose
        some = glob(literal, recursive=True)  # noqa: PTH207 - `Path.glob` takes no absolute pattern
        if not some:
            raise InputFileError(f"there is nothing at {text}")
        found += sorted(map(Path, some))
    return found


def read_lines(path: Path) -> list[str]:
    """The lines of a list, without the spaces around them.

    Raises:
        InputFileError: it cannot be read.
    """
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputFileError(f"the list {path} cannot be read: {error}") from None
