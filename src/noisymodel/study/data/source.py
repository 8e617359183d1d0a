"""The interface of a source of study data: pre-training inputs, downstream tasks, and shifted test sets."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from importlib.resources import files
from typing import Any, NamedTuple, Protocol, Self, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..rows import ShiftNote

_VALUES = 2**22
"""The most numbers in one batch of :func:`batches`; a batch has at least one input."""
_ROWS = 4096


@runtime_checkable
class LazyInputs(Protocol):
    """Inputs that are made on access, such as pictures in files."""

    @property
    def shape(self) -> tuple[int, ...]:
        """``(n, channels, height, width)``."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, indices: NDArray[np.int64], /) -> NDArray[np.float32]:
        """The inputs of some indices, stacked."""
        ...


Inputs = NDArray[Any] | LazyInputs
"""Pictures: float32 ``(n, height, width)`` or ``(n, channels, height, width)``, values in [0, 1], in an array or made
on demand. Texts: int64 token ids ``(n, length)``, 0 is padding."""


class Examples(NamedTuple):
    """Labelled inputs."""

    inputs: Inputs
    labels: NDArray[np.int64]
    """``(n,)``."""
    captions: NDArray[np.int64] | None = None
    """``(n, length)``: token ids of a text for each input, 0 is padding; of sources of pairs."""
    answers: NDArray[np.int64] | None = None
    """``(classes,)``: for each class of the task the corresponding class of ``labels``, −1 for none; ``None`` if the
    classes are the same."""


def batches(inputs: Inputs, rows: int | None = None) -> Iterator[Tensor]:
    """Yield the inputs in order, ``rows`` at a time; by default 4096, fewer if an input is large."""
    count = len(inputs)
    size = rows or max(1, min(_ROWS, _VALUES // max(1, int(np.prod(inputs.shape[1:])))))
    for start in range(0, count, size):
        yield take(inputs, np.arange(start, min(start + size, count)))


def take(inputs: Inputs, indices: NDArray[np.int64]) -> Tensor:
    """The inputs of some indices."""
    chosen = inputs[indices]
    return torch.from_numpy(np.ascontiguousarray(chosen))


def as_rows(inputs: Tensor) -> Tensor:
    """Flatten inputs to rows ``(n, P)``; token ids become float32, which is exact below 2²⁴."""
    rows = inputs.flatten(1)
    return rows if rows.is_floating_point() else rows.float()


class Task(Protocol):
    """A downstream task: to train on, to test on in-domain, and to test on under shift."""

    @property
    def classes(self) -> int:
        """Number of classes."""
        ...

    @property
    def shifts(self) -> tuple[ShiftNote, ...]:
        """All distribution shifts and what each is for."""
        ...

    def training(self, shots: int) -> Examples:
        """Training examples, ``shots`` of each of ``range(classes)``."""
        ...

    def test(self) -> Examples:
        """In-domain test examples."""
        ...

    def shifted(self, shift: str) -> Examples:
        """Test examples under the named distribution shift."""
        ...


# ---- sources that draw their data -----------------------------------------------------------------------------------

PROSE: Mapping[str, Mapping[str, Any]] = tomllib.loads(
    files(__package__ or "").joinpath("prose.toml").read_text(encoding="utf-8")
)
"""Class -> its title, description and remarks in the report."""

DRAWN = 1
"""Raise this version when the data that a source draws change."""


def _unchanged(example: Any, *_: object) -> Any:
    return example


class Shift(NamedTuple):
    """A named shift: a change of the unfinished example, a change of the finished input, or both."""

    name: str
    role: str
    description: str
    before: Callable[..., Any] = _unchanged
    """Changes a glyph's drawing or a text's meaning; called with it and a generator, for texts also the language."""
    after: Callable[..., Any] = _unchanged
    """Changes pictures or written texts; called with them and a generator."""

    @property
    def note(self) -> ShiftNote:
        """Its texts."""
        return ShiftNote(self.name, self.description, self.role)


UNSHIFTED = Shift("none", "", "")


def balanced(count: int, classes: int) -> NDArray[np.int64]:
    """Classes in turn, as many of each."""
    return np.arange(count, dtype=np.int64) % classes


@dataclass(frozen=True)
class Drawn:
    """The common part of sources that draw their data from a seed; the other fields of their classes are options."""

    seed: int

    spelling = ()
    """A word per token id; 0 is padding, 1 an unknown word."""
    packages = ()
    """Packages besides numpy that make the data."""

    @property
    def title(self) -> str:
        """A few words."""
        return PROSE[type(self).__name__]["title"]

    @property
    def description(self) -> str:
        """A paragraph for the report; a class adds its own to that of its base."""
        told = [PROSE[kind.__name__] for kind in reversed(type(self).__mro__) if kind.__name__ in PROSE]
        return " ".join(one["description"] for one in told).format(self)

    @property
    def remarks(self) -> tuple[str, ...]:
        """Known limits, in sentences for the report."""
        return tuple(PROSE[type(self).__name__]["remarks"])

    @property
    def vocabulary(self) -> int:
        """Token ids are below it; 0 without texts."""
        return len(self.spelling)

    def reseeded(self, seed: int) -> Self:
        """The same source at another seed."""
        return replace(self, seed=seed)

    def input_record(self) -> dict[str, Any]:
        """The options."""
        options = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "seed"}
        return {"version": DRAWN, "options": options}

    def task_record(self, name: str) -> dict[str, Any]:
        """The name alone."""
        return {"task": name}


@dataclass(frozen=True)
class CoarseTask:
    """The task to tell groups of another task's classes, tested on the same inputs as that task."""

    fine: Task
    group: int
    """Fine classes in each group: the group is the quotient of the fine class by this number."""
    made: Callable[[NDArray[np.int64]], Examples]
    """Training examples of fine classes."""

    @property
    def classes(self) -> int:
        """Number of groups."""
        return self.fine.classes // self.group

    @property
    def shifts(self) -> tuple[ShiftNote, ...]:
        """The shifts of the fine task."""
        return self.fine.shifts

    def training(self, shots: int) -> Examples:
        """``shots`` examples of each group, from its fine classes in turn."""
        order = np.arange(shots * self.classes, dtype=np.int64)
        return self._coarse(self.made(order % self.classes * self.group + order // self.classes % self.group))

    def test(self) -> Examples:
        """The inputs of the fine classes, with labels of their groups."""
        return self._coarse(self.fine.test())

    def shifted(self, shift: str) -> Examples:
        """The same under a shift."""
        return self._coarse(self.fine.shifted(shift))

    def _coarse(self, examples: Examples) -> Examples:
        return Examples(examples.inputs, examples.labels // self.group)
