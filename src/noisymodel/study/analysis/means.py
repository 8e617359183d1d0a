"""Means of numbers that belong together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable
from typing import TypeVar

import numpy as np

Series = TypeVar("Series", bound=Hashable)
Place = TypeVar("Place", bound=Hashable)


def means(numbers: Iterable[tuple[Series, Place, float]]) -> dict[Series, dict[Place, float]]:
    """Series -> place -> mean of the numbers there, both in the order in which they come.

    >>> means([("SVE", 0.1, 1.0), ("SVE", 0.1, 2.0), ("SVE", 0.3, 4.0)])
    {'SVE': {0.1: 1.5, 0.3: 4.0}}
    """
    gathered: dict[Series, dict[Place, list[float]]] = defaultdict(lambda: defaultdict(list))
    for series, place, value in numbers:
        gathered[series][place].append(value)
    return {
        series: {place: float(np.mean(values)) for place, values in by_place.items()}
        for series, by_place in gathered.items()
    }
