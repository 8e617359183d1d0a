"""The law of each kind of specified noise, and its options as values and as JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

from .arrays import as_numpy
from .keyed import FlipLaw, MappedTargets, RowTargets, UniformTargets
from .labels import json_mapping
from .mappings import checked_pairs, mapping_targets
from .matrix import check_classes
from .result import Transition
from .structure import (
    DENSE_CLASSES,
    DenseRows,
    SimilarFlips,
    SymmetricTransition,
    is_sparse,
    mapped_transition,
    rows_of,
)
from .transitions import confusion_rows, confusion_transition, read_transition, similarity_structure, symmetric_cells

Rate = float | Fraction | None


class Law(NamedTuple):
    """What a specification draws from."""

    flips: FlipLaw
    transition: Transition | None


def _symmetric(rate: Rate, num_classes: int, options: Mapping[str, Any]) -> Law:
    include_true = bool(options.get("include_true", False))
    share = float(rate or 0.0)
    structure = SymmetricTransition(num_classes, *symmetric_cells(num_classes, share, include_true))
    flips = FlipLaw(np.full(num_classes, share), UniformTargets(num_classes, include_true))
    return Law(flips, structure.toarray() if num_classes <= DENSE_CLASSES else structure)


def _mapped(rate: Rate, target: npt.NDArray[np.intp]) -> Law:
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
        return Law(FlipLaw(1.0 - table.diagonal(), RowTargets(DenseRows(table))), table)
    rows = confusion_rows(options["counts"], convention, empty, mistakes_only=True)
    return Law(FlipLaw(np.full(num_classes, share), RowTargets(DenseRows(rows))), table)


def _similarity(rate: Rate, num_classes: int, options: Mapping[str, Any]) -> Law:
    share = float(rate or 0.0)
    structure = similarity_structure(options["prototypes"], share, options.get("temperature", 1.0))
    check_classes("prototypes", len(structure.directions), num_classes)
    if num_classes > DENSE_CLASSES:
        return Law(FlipLaw(np.full(num_classes, share), RowTargets(SimilarFlips(structure))), structure)
    rows = DenseRows(structure.flips(0, num_classes))
    return Law(FlipLaw(np.full(num_classes, share), RowTargets(rows)), structure.toarray())


LAWS: dict[str, Callable[[Rate, int, Mapping[str, Any]], Law]] = {
    "symmetric": _symmetric,
    "pair_flip": _pair_flip,
    "asymmetric": _asymmetric,
    "from_transition": _from_transition,
    "from_confusion": _from_confusion,
    "similarity": _similarity,
}


def frozen_option(name: str, value: Any) -> Any:
    """An option that nobody can change any more: arrays are copied and read-only."""
    if name == "mapping" and isinstance(value, Mapping):
        return checked_pairs(value)
    if name == "classes" and value is not None:
        return tuple(int(label) for label in value)
    if name not in {"matrix", "counts", "prototypes"}:
        return value
    if is_sparse(value):
        return sparse.csr_array(value, copy=True)
    array = np.array(as_numpy(value))
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
    """An option from what :func:`option_to_json` made of it."""
    if name == "mapping" and isinstance(value, Mapping):
        return {int(clean): noisy for clean, noisy in value.items()}
    if name == "matrix" and isinstance(value, Mapping):
        return sparse.csr_array((value["value"], (value["row"], value["column"])), shape=tuple(value["shape"]))
    return np.array(value) if name in {"matrix", "counts", "prototypes"} else value
