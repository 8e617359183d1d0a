"""Accumulation of a file's rows in one accumulator, or in several random parts for the jackknife."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .._random import array_generator
from ..spectrum import SpectrumAccumulator

_PAGE = 4096  # rounds of random assignment drawn at once
_HAND_BYTES = 192 << 20  # the most bytes of rows that wait for their parts
_STREAM = 0x6465616C  # "deal": no other use of the same seed draws these numbers


def part_numbers(first: int, last: int, num_parts: int, seed: int) -> npt.NDArray[np.int64]:
    """The part of each row from ``first`` to ``last``: each run of ``num_parts`` rows fills all parts in random order.

    The part depends only on the row's number and the seed, so the same samples in two files get the same parts.
    """
    page = _PAGE * num_parts
    found: list[npt.NDArray[np.int64]] = []
    for number in range(first // page, -(-last // page)):
        rounds = np.tile(np.arange(num_parts), (_PAGE, 1))
        dealt = array_generator(seed, _STREAM, number).permuted(rounds, axis=1).ravel()
        found.append(dealt[max(0, first - number * page) : last - number * page])
    return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)


class Parts:
    """Accumulates the rows of a file, block by block, in ``num_parts`` accumulators.

    Rows wait until each part has enough for an efficient update. Each part is then updated through a temporary
    accumulator: an accumulator keeps its own block of rows, and so only one such block exists at a time.

    Args:
        num_features: D.
        num_parts: 1 makes one accumulator of all rows.
        seed: the seed of the random assignment.
        settings: arguments of the accumulators.
    """

    def __init__(self, num_features: int, num_parts: int, seed: int, settings: dict[str, Any]) -> None:
        self._make = lambda: SpectrumAccumulator(num_features, **settings)
        self._parts = [self._make() for _ in range(num_parts)]
        self._seed = seed
        self._dealt = 0
        self._waiting: list[Tensor] = []
        self._count = 0
        self._wanted = 4 * num_features * num_parts

    def update(self, block: Tensor) -> None:
        """Add the next rows (n, D), which must be finite."""
        if len(self._parts) == 1:
            self._parts[0].update(block)
            return
        self._waiting.append(block)
        self._count += len(block)
        if self._count >= self._wanted or self._count * block[0].nbytes >= _HAND_BYTES:
            self._deal()

    def finish(self) -> list[SpectrumAccumulator]:
        """The accumulators of all rows, without empty ones."""
        self._deal()
        return [part for part in self._parts if part.count]

    def _deal(self) -> None:
        if not self._waiting:
            return
        places = part_numbers(self._dealt, self._dealt + self._count, len(self._parts), self._seed)
        rows = torch.cat(self._waiting)
        self._dealt += self._count
        self._waiting, self._count = [], 0
        for number, part in enumerate(self._parts):
            hand = self._make()
            hand.update(rows[torch.from_numpy(np.flatnonzero(places == number))])
            part.merge(hand)
