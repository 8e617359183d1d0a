"""Failures in the cells of a study."""

from __future__ import annotations

import traceback
from typing import NamedTuple

from .plan import CellName


class Failure(NamedTuple):
    """The failure of a part."""

    cell: CellName
    part: str
    """``"pretraining"``, ``"features"``, or the method, with task and shots where there are several."""
    message: str
    """Type and text of the error, one line."""
    details: str
    """The traceback."""

    def __str__(self) -> str:
        return f"{self.cell}, {self.part}: {self.message}"


def failure(name: CellName, part: str, error: BaseException) -> Failure:
    """Make the failure of a part from an error."""
    message = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return Failure(name, part, message, "".join(traceback.format_exception(error)))
