"""The arguments of an analysis, checked, and a file under them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from ..errors import InputFileError
from ..features.opening import FeatureFile, open_file
from ..spectrum import Spectrum, SpectrumAccumulator
from .naming import Source


class Plan(NamedTuple):
    """The arguments, checked."""

    settings: dict[str, Any]  # of the accumulators
    center: Literal["none", "column"]
    measures: dict[str, Callable[[Spectrum], float]]
    top_k: int | None
    num_parts: int
    first: int
    last: int | None
    seed: int
    progress: bool


@dataclass
class Opened:
    """A file that is open, and what has been made of its rows."""

    source: Source
    file: FeatureFile
    span: tuple[int, int]
    parts: list[SpectrumAccumulator] = field(default_factory=list[SpectrumAccumulator])
    total: SpectrumAccumulator | None = None

    @classmethod
    def of(cls, source: Source, plan: Plan, dtype: str | None, num_features: int | None) -> Opened:
        """Open a file and see that there is something to analyse."""
        file = open_file(source.path, source.key, dtype=dtype, num_features=num_features)
        last = file.num_rows if plan.last is None else min(plan.last, file.num_rows)
        if plan.first >= last:
            raise InputFileError(
                f"{file.path} has {file.num_rows} rows: none from {plan.first} to {plan.last or 'its end'}"
            )
        if plan.settings["center_rows"] and file.num_features < 2:
            raise InputFileError(f"{file.path} has 1 feature: rows cannot be centred")
        if plan.center == "column" and last - plan.first < 2:
            raise InputFileError(f"{file.path}: one row cannot be centred by columns")
        return cls(source, file, (plan.first, last))

    @property
    def count(self) -> int:
        """The number of rows that are analysed."""
        return self.span[1] - self.span[0]


@contextmanager
def noted(notes: list[str], **names: str) -> Generator[None]:
    """Add the warnings of the block to the notes, once each, with ``names`` in the place of arguments' names."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        text = renamed(str(warning.message), **names)
        if text not in notes:
            notes.append(text)


def renamed(text: str, **names: str) -> str:
    """A message on one line, with other names for its arguments."""
    for argument, name in names.items():
        text = text.replace(f"`{argument}`", name)
    return " ".join(text.split())
