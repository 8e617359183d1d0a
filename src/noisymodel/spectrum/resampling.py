"""Rows taken apart and put together again: leaving out blocks of them, and drawing them with replacement."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from .._checks import check_array
from .._random import array_generator
from .accumulator import SpectrumAccumulator
from .analysis import check_matrix
from .singular_values import Array

Parts: TypeAlias = Array | Sequence[SpectrumAccumulator]
Units: TypeAlias = list[npt.NDArray[np.int64]]


def units_of(num_rows: int, groups: object, name: str = "groups") -> Units:
    """The row numbers of each independent unit: of each group, or each row alone.

    Raises:
        ValueError: groups that are not (N,), or fewer than two units.
    """
    if groups is None:
        units = list(np.arange(num_rows)[:, None])
    else:
        given = check_array(groups, name, kinds="biufUS", expected="numbers or strings")
        labels = given.cpu().numpy() if isinstance(given, torch.Tensor) else given
        if labels.shape != (num_rows,):
            raise ValueError(f"`{name}` must have shape (N,) = ({num_rows},), got {labels.shape}")
        _, place = np.unique(labels, return_inverse=True)
        units = np.split(np.argsort(place, kind="stable"), np.cumsum(np.bincount(place))[:-1])
    if len(units) < 2:
        what = "rows" if groups is None else f"different values in `{name}`"
        raise ValueError(f"an interval needs at least 2 {what}, got {len(units)}")
    return units


def dealt(units: Units, num_blocks: int, seed: int) -> Units:
    """The units in random order, dealt to ``num_blocks`` blocks of equally many (or one more) of them."""
    order = array_generator(seed).permutation(len(units))
    blocks = np.array_split(order, min(num_blocks, len(units)))
    return [np.sort(np.concatenate([units[unit] for unit in block])) for block in blocks]


def resampled(units: Units, seed: int, num_resamples: int) -> Iterator[npt.NDArray[np.int64]]:
    """Row numbers of as many units as there are, drawn with replacement; the same for the same seed."""
    generator = array_generator(seed)
    for _ in range(num_resamples):
        yield np.concatenate([units[unit] for unit in generator.integers(len(units), size=len(units))])


def accumulated(features: Array, rows: npt.NDArray[np.int64] | None, settings: dict[str, Any]) -> SpectrumAccumulator:
    """An accumulator with some rows of a matrix; all where ``rows`` is None."""
    total = SpectrumAccumulator(features.shape[1], **settings)
    if rows is None:
        total.update(features)
    elif isinstance(features, torch.Tensor):
        total.update(features[torch.from_numpy(rows).to(features.device)])
    else:
        total.update(features[rows])
    return total


def joined(parts: Sequence[SpectrumAccumulator]) -> SpectrumAccumulator:
    """The rows of all parts, which stay as they are."""
    total = SpectrumAccumulator(**parts[0].settings())
    for part in parts:
        total.merge(part)
    return total


def leave_one_out(
    parts: Sequence[SpectrumAccumulator], others: SpectrumAccumulator | None = None
) -> Iterator[SpectrumAccumulator]:
    """For each part, the rows of all parts but it (and of ``others``): m·log₂ m merges for m parts."""
    if len(parts) == 1:
        if others is not None:
            yield others
        return
    half = len(parts) // 2
    for mine, rest in ((parts[:half], parts[half:]), (parts[half:], parts[:half])):
        yield from leave_one_out(mine, joined([*rest, others] if others is not None else rest))


def blocks_of(
    features: Parts, name: str, settings: dict[str, Any], num_blocks: int, groups: object, seed: int
) -> list[SpectrumAccumulator]:
    """The blocks that are left out one at a time."""
    if isinstance(features, Sequence):
        return _given_blocks(features, name, settings, groups)
    rows, _ = check_matrix(features, name)
    blocks = dealt(units_of(len(rows), groups), num_blocks, seed)
    return [accumulated(features, rows, settings) for rows in blocks]


def _given_blocks(
    parts: Sequence[object], name: str, settings: dict[str, Any], groups: object
) -> list[SpectrumAccumulator]:
    foreign = [type(part).__name__ for part in parts if not isinstance(part, SpectrumAccumulator)]
    if foreign:
        raise TypeError(f"`{name}` must be an array or accumulators, got a sequence with {foreign[0]}")
    if groups is not None or any(settings.values()):
        raise ValueError(
            "accumulators are their own groups and have their own row operations: give `groups`, `normalize`, `preset` "
            "and `center` = 'row' when they are filled"
        )
    blocks = [part for part in parts if isinstance(part, SpectrumAccumulator) and part.count]
    if len(blocks) < 2:
        raise ValueError(f"`{name}` must hold at least 2 accumulators with rows, got {len(blocks)}")
    return blocks
