"""The split of rows into training and held-out rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .._random import array_generator

_SPLIT = 0x63686F


def held_out(
    targets: npt.NDArray[Any], fraction: float, seed: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Ascending indices (kept, held out): of every class ``fraction`` is held out, rounded half up, but never all rows.

    Args:
        targets: (N,) labels of any type that numpy sorts.
        fraction: in (0, 1).
        seed: the seed of the draw.

    Raises:
        ValueError: if no row is held out.

    >>> import numpy as np
    >>> kept, out = held_out(np.array(["a"] * 5 + ["b"] * 10), 0.2, seed=0)
    >>> len(kept), len(out)
    (12, 3)
    """
    random = array_generator(seed, _SPLIT)
    held = [np.zeros(0, dtype=np.int64)]
    for label in np.unique(targets):
        own = random.permutation(np.flatnonzero(targets == label))
        held.append(own[: min(int(np.floor(fraction * len(own) + 0.5)), len(own) - 1)])
    out = np.sort(np.concatenate(held))
    if len(out) == 0:
        raise ValueError(
            f"{fraction:g} of {len(targets)} rows must hold out at least one row of a class with two, got none: "
            "give more rows a class or a larger fraction"
        )
    kept = np.ones(len(targets), dtype=bool)
    kept[out] = False
    return np.flatnonzero(kept), out
