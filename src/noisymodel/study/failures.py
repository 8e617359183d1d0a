"""What went wrong in the cells of a study."""

from __future__ import annotations

import traceback
from typing import NamedTuple

from .grid import CellName

WHOLE_CELL = "the whole cell"
"""What is named as the part where a worker died."""


class Failure(NamedTuple):
    """What went wrong in a cell."""

    cell: CellName
    part: str
    """``"pretraining"``, or the method, with task and shots where there are several."""
    message: str
    """Type and text of the error, one line."""
    details: str
    """The traceback."""

    def __str__(self) -> str:
        return f"{self.cell}, {self.part}: {self.message}"


def failure(name: CellName, part: str, error: Exception) -> Failure:
    """How an error of a part is spoken of."""
    message = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return Failure(name, part, message, "".join(traceback.format_exception(error)))
