"""Noise on one label of a stream: the law of each kind maps a label and two uniform numbers to a noisy label."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from scipy import sparse

from .._checks import check_flag, check_integer
from .inputs import Floats, read_numbers
from .labels import json_mapping
from .large_transitions import (
    DENSE_CLASSES,
    Rows,
    SymmetricTransition,
    is_sparse,
    mapped_transition,
    rows_of,
)
from .mappings import checked_pairs, mapping_targets
from .matrix import check_classes
from .result import Transition
from .transitions import confusion_rows, confusion_transition, read_transition, similarity_rows, symmetric_cells

Rate = float | Fraction | None
Labels = npt.NDArray[np.intp]


class Targets(Protocol):
    """A function from flipped labels and uniform numbers to the new classes."""

    def __call__(self, labels: Labels, uniforms: Floats, /) -> Labels:
        """The new classes (N,) of flipped labels (N,)."""
        ...


@dataclass(frozen=True)
class UniformTargets:
    """All classes are equally likely; or all classes but the label's own."""

    num_classes: int
    include_true: bool

    def __call__(self, labels: Labels, uniforms: Floats) -> Labels:
        """See :class:`Targets`."""
        drawn = (uniforms * (self.num_classes - (not self.include_true))).astype(np.intp)
        return drawn if self.include_true else drawn + (drawn >= labels)


@dataclass(frozen=True, eq=False)
class MappedTargets:
    """Every class has one fixed target class."""

    target: Labels

    def __call__(self, labels: Labels, _uniforms: Floats) -> Labels:
        """See :class:`Targets`."""
        return self.target[labels]


@dataclass(frozen=True, eq=False)
class RowTargets:
    """Draw a class from the label's row, without the label itself, by the inverse of the cumulative shares."""

    rows: Rows
    _known: dict[int, tuple[Labels, Floats]] = field(default_factory=dict, repr=False)

    def _cumulative(self, label: int) -> tuple[Labels, Floats]:
        if label not in self._known:
            columns, shares = self.rows(label)
            others = columns != label
            if others.any():
                columns, shares = columns[others], shares[others]
            self._known[label] = columns, np.cumsum(shares)
        return self._known[label]

    def __call__(self, labels: Labels, uniforms: Floats) -> Labels:
        """See :class:`Targets`."""
        found = np.empty_like(labels)
        order = np.argsort(labels, kind="stable")
        bounds = np.flatnonzero(np.diff(labels[order])) + 1
        for places in np.split(order, bounds):
            if places.size:
                columns, sums = self._cumulative(int(labels[places[0]]))
                index = np.searchsorted(sums, uniforms[places] * sums[-1], side="right")
                found[places] = columns[np.minimum(index, len(columns) - 1)]
        return found


@dataclass(frozen=True, eq=False)
class FlipLaw:
    """A label flips with the chance of its class; one uniform number decides whether, an independent one to which."""

    chances: Floats
    targets: Targets

    def __call__(self, labels: Labels, uniforms: tuple[Floats, Floats]) -> Labels:
        """The noisy labels (N,)."""
        noisy = labels.copy()
        places = np.flatnonzero(uniforms[0] < self.chances[labels])
        noisy[places] = self.targets(labels[places], uniforms[1][places])
        return noisy


class Law(NamedTuple):
    """The law from which a specification draws."""

    flips: FlipLaw
    transition: Transition | None


def _symmetric(rate: Rate, num_classes: int, options: Mapping[str, Any]) -> Law:
    include_true = check_flag(options.get("include_true", False), "include_true")
    share = float(rate or 0.0)
    structure = SymmetricTransition(num_classes, *symmetric_cells(num_classes, share, include_true))
    flips = FlipLaw(np.full(num_classes, share), UniformTargets(num_classes, include_true))
    return Law(flips, structure.toarray() if num_classes <= DENSE_CLASSES else structure)


def _mapped(rate: Rate, target: Labels) -> Law:
    share = float(rate or 0.0)
    transition = mapped_transition(target, share, dense=len(target) <= DENSE_CLASSES)
    return Law(FlipLaw(np.full(len(target), share), MappedTargets(target)), transition)


def _pair_flip(rate: Rate, num_classes: int, options: Mapping[str, Any]) -> Law:
    del options
    if num_classes < 2:
        raise ValueError(f"`num_classes` must be at least 2, got {num_classes}: there is no other class to flip to")
    return _mapped(rate, np.roll(np.arange(num_classes), -1))


def _asymmetric(rate: Rate, num_classes: int, options: Mapping[str, Any]) -> Law:
    return _mapped(rate, mapping_targets(options["mapping"], num_classes))


def _from_transition(rate: Rate, num_classes: int, options: Mapping[str, Any]) -> Law:
    del rate
    table = read_transition(options["matrix"], options.get("convention", "row"))
    check_classes("matrix", table.shape[0], num_classes)
    return Law(FlipLaw(1.0 - table.diagonal(), RowTargets(rows_of(table))), table)


def _from_confusion(rate: Rate, num_classes: int, options: Mapping[str, Any]) -> Law:
    convention, empty = options.get("convention", "row"), options.get("empty", "error")
    share = None if rate is None else float(rate)
    table = confusion_transition(options["counts"], share, convention=convention, empty=empty)
    check_classes("counts", len(table), num_classes)
    if share is None:
        return Law(FlipLaw(1.0 - table.diagonal(), RowTargets(rows_of(table))), table)
    rows = confusion_rows(options["counts"], convention, empty, mistakes_only=True)
    return Law(FlipLaw(np.full(num_classes, share), RowTargets(rows_of(rows))), table)


def _similarity(rate: Rate, num_classes: int, options: Mapping[str, Any]) -> Law:
    share = float(rate or 0.0)
    structure = similarity_rows(options["prototypes"], share, options.get("temperature", 1.0))
    check_classes("prototypes", len(structure.directions), num_classes)
    dense = num_classes <= DENSE_CLASSES
    rows = rows_of(structure.flips(0, num_classes) if dense else structure)
    flips = FlipLaw(np.full(num_classes, share), RowTargets(rows))
    return Law(flips, structure.toarray() if dense else structure)


LAWS: dict[str, Callable[[Rate, int, Mapping[str, Any]], Law]] = {
    "symmetric": _symmetric,
    "pair_flip": _pair_flip,
    "asymmetric": _asymmetric,
    "from_transition": _from_transition,
    "from_confusion": _from_confusion,
    "similarity": _similarity,
}


def frozen_option(name: str, value: Any) -> Any:
    """An immutable form of an option: arrays are copied and read-only."""
    if name == "mapping" and isinstance(value, Mapping):
        return checked_pairs(value)
    if name == "include_true":
        return check_flag(value, name)
    if name == "classes" and value is not None:
        return tuple(check_integer(label, "classes", minimum=0) for label in value)
    if name not in {"matrix", "counts", "prototypes"}:
        return value
    if is_sparse(value):
        return sparse.csr_array(value, copy=True)
    array = np.array(read_numbers(value, name, expected="real numbers"))
    array.flags.writeable = False
    return array


def option_to_json(value: Any) -> Any:
    """An option as JSON holds it."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if is_sparse(value):
        cells = value.tocoo()
        columns = {"row": cells.row.tolist(), "column": cells.col.tolist(), "value": cells.data.tolist()}
        return {"shape": list(cells.shape), **columns}
    if isinstance(value, Mapping):
        return json_mapping(value)
    return list(value) if isinstance(value, tuple) else value


def option_from_json(name: str, value: Any) -> Any:
    """Read an option from its JSON form of :func:`option_to_json`."""
    if name == "mapping" and isinstance(value, Mapping):
        return {int(clean): noisy for clean, noisy in value.items()}
    if name == "matrix" and isinstance(value, Mapping):
        return sparse.csr_array((value["value"], (value["row"], value["column"])), shape=tuple(value["shape"]))
    return np.array(value) if name in {"matrix", "counts", "prototypes"} else value
