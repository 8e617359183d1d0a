"""The checked arguments of an analysis, and a file opened with them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from ..errors import InputFileError
from ..features.opening import FeatureFile, open_file
from ..spectrum import Spectrum, SpectrumAccumulator
from ..spectrum.resampling import joined
from .dealing import Parts
from .naming import Source


class Plan(NamedTuple):
    """The checked arguments."""

    settings: dict[str, Any]  # arguments of the accumulators
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
    """An open file, with the accumulators of its rows."""

    source: Source
    file: FeatureFile
    span: tuple[int, int]
    parts: Parts | None  # takes in the rows; None when all are in
    blocks: list[SpectrumAccumulator] = field(default_factory=list[SpectrumAccumulator])
    total: SpectrumAccumulator | None = None

    @classmethod
    def of(cls, source: Source, plan: Plan, dtype: str | None, num_features: int | None) -> Opened:
        """Open a file and check that it has rows to analyse."""
        file = open_file(source.path, source.key, dtype=dtype, num_features=num_features)
        last = file.num_rows if plan.last is None else min(plan.last, file.num_rows)
        count = last - plan.first
        if count < 1:
            raise InputFileError(
                f"{file.path} has {file.num_rows} rows: none from {plan.first} to {plan.last or 'its end'}"
            )
        if plan.settings["center_rows"] and file.num_features < 2:
            raise InputFileError(f"{file.path} has 1 feature: rows cannot be centred")
        if plan.center == "column" and count < 2:
            raise InputFileError(f"{file.path}: one row cannot be centred by columns")
        parts = Parts(file.num_features, min(plan.num_parts, count), plan.seed, plan.settings)
        return cls(source, file, (plan.first, last), parts)

    @property
    def name(self) -> str:
        """The name of the file in the results."""
        return self.source.name

    @property
    def count(self) -> int:
        """The number of rows to analyse."""
        return self.span[1] - self.span[0]

    def finish(self) -> None:
        """Join the accumulators when all rows are in."""
        if self.parts is not None:
            self.blocks, self.parts = self.parts.finish(), None
            self.total = joined(self.blocks) if len(self.blocks) > 1 else self.blocks[0]

    def free(self) -> None:
        """Give the memory of the accumulators back."""
        self.blocks, self.total = [], None


@contextmanager
def noted(notes: list[str], **names: str) -> Generator[None]:
    """Add the warnings of the block to the notes, once each; ``names`` replace the names of arguments."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        text = renamed(str(warning.message), **names)
        if text not in notes:
            notes.append(text)


def renamed(text: str, **names: str) -> str:
    """The message on one line, with the names of arguments replaced."""
    for argument, name in names.items():
        text = text.replace(f"`{argument}`", name)
    return " ".join(text.split())
