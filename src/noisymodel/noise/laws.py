"""The law of each kind of label noise: which share of the labels flips, and to which classes, alone or in arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from .._checks import check_choice
from .class_counts import assign, largest_remainder, multinomial
from .injection import Step
from .inputs import Array, Floats, read_class_count
from .large_transitions import (
    DENSE_CLASSES,
    Csr,
    SimilarityTransition,
    SymmetricTransition,
    is_sparse,
    mapped_transition,
)
from .mappings import ClassMapping, mapping_targets
from .result import NoisyLabels, Transition
from .selection import SELECTIONS, recorded_rate, select
from .transitions import confusion_rows, confusion_transition, read_transition, similarity_rows, symmetric_cells

Places = npt.NDArray[np.intp]


class Targets(Protocol):
    """The classes that labels flip to."""

    def draw(self, labels: npt.NDArray[Any], generator: np.random.Generator, /) -> npt.NDArray[Any]:
        """(N,): draw a class for every label, selected or not, so that it is the same at every rate."""
        ...

    def at(self, labels: Places, uniforms: Floats, /) -> Places:
        """(N,): the class of each label that flips, by a uniform number of its own."""
        ...

    def expected(self, labels: npt.NDArray[Any], rate: float, /) -> float:
        """The mean share of wrong labels, if a share ``rate`` of the labels is selected."""
        ...


@dataclass(frozen=True)
class UniformTargets:
    """All classes are equally likely; or all classes but the label's own."""

    num_classes: int
    include_true: bool

    def draw(self, labels: npt.NDArray[Any], generator: np.random.Generator) -> npt.NDArray[Any]:
        """See :class:`Targets`."""
        choices = self.num_classes - (not self.include_true)
        drawn = generator.integers(choices, size=labels.size, dtype=np.min_scalar_type(choices).type)
        return self._past_own(drawn, labels)

    def at(self, labels: Places, uniforms: Floats) -> Places:
        """See :class:`Targets`."""
        return self._past_own((uniforms * (self.num_classes - (not self.include_true))).astype(np.intp), labels)

    def expected(self, _labels: npt.NDArray[Any], rate: float) -> float:
        """See :class:`Targets`."""
        return 1.0 - symmetric_cells(self.num_classes, rate, self.include_true)[0]

    def _past_own(self, drawn: npt.NDArray[Any], labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return drawn if self.include_true else drawn + (drawn >= labels)


@dataclass(frozen=True, eq=False)
class MappedTargets:
    """Every class has one fixed target class."""

    target: Places

    def draw(self, labels: npt.NDArray[Any], _generator: np.random.Generator) -> npt.NDArray[Any]:
        """See :class:`Targets`."""
        return self.target.astype(labels.dtype)[labels]

    def at(self, labels: Places, _uniforms: Floats) -> Places:
        """See :class:`Targets`."""
        return self.target[labels]

    def expected(self, labels: npt.NDArray[Any], rate: float) -> float:
        """See :class:`Targets`."""
        moved = np.count_nonzero((self.target != np.arange(len(self.target)))[labels])
        return rate * int(moved) / labels.size


@dataclass(frozen=True, eq=False)
class RowTargets:
    """Draw a class from the label's row of a matrix; of similarity noise, from P(noisy | clean, flipped)."""

    matrix: Floats | Csr | SimilarityTransition
    _known: dict[int, tuple[Places, Floats]] = field(default_factory=dict, repr=False)

    def row(self, label: int) -> tuple[Places, Floats]:
        """The classes with positive probability, ascending, and their probabilities."""
        if is_sparse(self.matrix):
            first, stop = self.matrix.indptr[label : label + 2]
            return self.matrix.indices[first:stop].astype(np.intp), self.matrix.data[first:stop]
        matrix: Any = self.matrix
        cells = matrix.flips(label, label + 1)[0] if isinstance(matrix, SimilarityTransition) else matrix[label]
        columns = np.flatnonzero(cells)
        return columns, cells[columns]

    def draw(self, labels: npt.NDArray[Any], generator: np.random.Generator) -> npt.NDArray[Any]:
        """See :class:`Targets`."""
        return assign(labels, self.matrix.shape[0], self.row, multinomial, generator)

    def at(self, labels: Places, uniforms: Floats) -> Places:
        """See :class:`Targets`; never the label itself, unless its row has no other class."""
        found = np.empty_like(labels)
        order = np.argsort(labels, kind="stable")
        bounds = np.flatnonzero(np.diff(labels[order])) + 1
        for places in np.split(order, bounds):
            if places.size:
                columns, sums = self._cumulative(int(labels[places[0]]))
                index = np.searchsorted(sums, uniforms[places] * sums[-1], side="right")
                found[places] = columns[np.minimum(index, len(columns) - 1)]
        return found

    def expected(self, labels: npt.NDArray[Any], rate: float) -> float:
        """See :class:`Targets`."""
        if isinstance(self.matrix, SimilarityTransition):
            return rate
        return rate * (1.0 - float(self.matrix.diagonal()[labels.astype(np.intp)].mean()))

    def _cumulative(self, label: int) -> tuple[Places, Floats]:
        if label not in self._known:
            columns, shares = self.row(label)
            others = columns != label
            if others.any():
                columns, shares = columns[others], shares[others]
            self._known[label] = columns, np.cumsum(shares)
        return self._known[label]


@dataclass(frozen=True, eq=False)
class Law:
    """A label flips with the chance of its class, to a class of ``targets``.

    Attributes:
        share: the share of the labels of every class that is selected; None: that of class i is 1 − T_ii.
        targets: where selected labels go; without a share, the whole rows of the matrix.
        transition: T.
    """

    share: Fraction | None
    targets: Targets
    transition: Transition

    def chances(self) -> Floats:
        """(K,): how likely a label of each class is selected."""
        matrix: Any = self.transition
        return 1.0 - matrix.diagonal() if self.share is None else np.full(matrix.shape[0], float(self.share))


def symmetric_law(num_classes: int, share: Fraction, *, include_true: bool = False) -> Law:
    """Of :func:`symmetric`."""
    matrix = SymmetricTransition(num_classes, *symmetric_cells(num_classes, float(share), include_true))
    return Law(share, UniformTargets(num_classes, include_true), _shown(matrix))


def pair_flip_law(num_classes: int, share: Fraction) -> Law:
    """Of :func:`pair_flip`."""
    if num_classes < 2:
        raise ValueError(f"`num_classes` must be at least 2, got {num_classes}: there is no other class to flip to")
    return _mapped(np.roll(np.arange(num_classes), -1), share)


def asymmetric_law(num_classes: int, share: Fraction, *, mapping: ClassMapping) -> Law:
    """Of :func:`asymmetric`."""
    return _mapped(mapping_targets(mapping, num_classes), share)


def transition_law(num_classes: int | None, _share: None, *, matrix: object, convention: str = "row") -> Law:
    """Of :func:`from_transition`."""
    table = read_transition(matrix, convention)
    _check_rows("matrix", table.shape[0], num_classes)
    return Law(None, RowTargets(table), table)


def confusion_law(
    num_classes: int | None, share: Fraction | None, *, counts: Array, convention: Any = "row", empty: Any = "error"
) -> Law:
    """Of :func:`from_confusion`."""
    rate = None if share is None else float(share)
    table = confusion_transition(counts, rate, convention=convention, empty=empty)
    _check_rows("counts", len(table), num_classes)
    rows = table if share is None else confusion_rows(counts, convention, empty, mistakes_only=True)
    return Law(share, RowTargets(rows), table)


def similarity_law(num_classes: int | None, share: Fraction, *, prototypes: Array, temperature: float = 1.0) -> Law:
    """Of :func:`similarity`."""
    matrix = similarity_rows(prototypes, float(share), temperature)
    count = matrix.shape[0]
    _check_rows("prototypes", count, num_classes)
    return Law(share, RowTargets(matrix.flips(0, count) if count <= DENSE_CLASSES else matrix), _shown(matrix))


def _mapped(target: Places, share: Fraction) -> Law:
    transition = mapped_transition(target, float(share), dense=len(target) <= DENSE_CLASSES)
    return Law(share, MappedTargets(target), transition)


def _shown(matrix: SymmetricTransition | SimilarityTransition) -> Transition:
    return matrix.toarray() if matrix.shape[0] <= DENSE_CLASSES else matrix


def _check_rows(name: str, rows: int, num_classes: int | None) -> None:
    if num_classes is not None and rows != read_class_count(num_classes):
        raise ValueError(f"`{name}` must have a row for each of `num_classes` {num_classes} classes, got {rows} rows")


def inject(
    step: Step,
    law: Law,
    selection: str,
    method: str,
    parameters: Mapping[str, Any],
    inputs: Mapping[str, Any] | None = None,
) -> NoisyLabels:
    """Draw new labels by a law."""
    part, num_classes = step.part, step.num_classes
    if law.share is None:
        check_choice(selection, "selection", SELECTIONS)
        allocate = multinomial if selection == "bernoulli" else largest_remainder
        row = cast("RowTargets", law.targets).row
        noisy = assign(part, num_classes, row, allocate, step.generator(2)).astype(part.dtype, copy=False)
        counts = np.bincount(part.astype(np.intp, copy=False), minlength=num_classes)
        requested = expected = float(counts @ law.chances() / part.size)
    else:
        selected = select(part, num_classes, law.share, selection, step.generator(1))
        noisy = part.copy()
        np.copyto(noisy, law.targets.draw(part, step.generator(2)), where=selected, casting="unsafe")
        requested = float(law.share)
        expected = law.targets.expected(part, requested)
        parameters = {"rate": recorded_rate(law.share), **parameters}
    return step.finish(
        noisy,
        method=method,
        parameters={**parameters, "selection": selection},
        requested=requested,
        expected=expected,
        transition=law.transition,
        inputs=inputs,
    )


LAWS: dict[str, Callable[..., Law]] = {
    "symmetric": symmetric_law,
    "pair_flip": pair_flip_law,
    "asymmetric": asymmetric_law,
    "from_transition": transition_law,
    "from_confusion": confusion_law,
    "similarity": similarity_law,
}
"""Functions of K, the share and the options of the kind."""
