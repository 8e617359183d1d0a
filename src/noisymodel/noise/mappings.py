"""The published class mappings of asymmetric noise: which class is mistaken for which."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from .._checks import check_choice, check_integer
from .inputs import MOST_CLASSES

NamedMapping: TypeAlias = Literal["cifar10", "mnist", "cifar100", "cifar100-contiguous"]
ClassMapping: TypeAlias = NamedMapping | Mapping[int, int]

CIFAR10 = {9: 1, 2: 0, 3: 5, 5: 3, 4: 7}
"""truck → automobile, bird → airplane, cat ↔ dog, deer → horse (Patrini et al. 2017)."""
MNIST = {7: 1, 2: 7, 3: 8, 5: 6, 6: 5}
"""7 → 1, 2 → 7, 3 → 8, 5 ↔ 6 (Patrini et al. 2017)."""
CIFAR100_SUPERCLASS = (
    4, 1, 14, 8, 0, 6, 7, 7, 18, 3, 3, 14, 9, 18, 7, 11, 3, 9, 7, 11, 6, 11, 5, 10, 7, 6, 13, 15, 3, 15, 0, 11, 1, 10,
    12, 14, 16, 9, 11, 5, 5, 19, 8, 8, 15, 13, 14, 17, 18, 10, 16, 4, 17, 4, 2, 0, 17, 4, 18, 17, 10, 3, 2, 12, 12, 16,
    12, 1, 9, 19, 2, 10, 0, 1, 16, 12, 9, 13, 15, 13, 16, 19, 2, 4, 6, 19, 5, 5, 8, 19, 18, 1, 2, 15, 6, 0, 17, 8, 14,
    13,
)  # fmt: skip
"""The superclass (0 to 19) of each of CIFAR-100's fine classes, which are numbered alphabetically."""
MAPPINGS = ("cifar10", "mnist", "cifar100", "cifar100-contiguous")


def next_in_group(groups: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """For each class the next one of its group by ascending number, and the first after the last."""
    target = np.empty_like(groups)
    for group in np.unique(groups):
        members = np.flatnonzero(groups == group)
        target[members] = np.roll(members, -1)
    return target


def named_targets(name: str) -> npt.NDArray[np.intp]:
    """(K,): the class that each class is mistaken for, itself where there is no noise."""
    if name == "cifar100":
        return next_in_group(np.array(CIFAR100_SUPERCLASS))
    if name == "cifar100-contiguous":
        return next_in_group(np.arange(100) // 5)
    target = np.arange(10)
    pairs = CIFAR10 if name == "cifar10" else MNIST
    target[list(pairs)] = list(pairs.values())
    return target


def mapping_classes(mapping: ClassMapping) -> int:
    """The number of classes of a named mapping; for a dictionary the fewest that hold its classes."""
    if isinstance(mapping, Mapping):
        return max(max(pair) for pair in checked_pairs(mapping).items()) + 1
    check_choice(mapping, "mapping", MAPPINGS)
    return len(named_targets(mapping))


def checked_pairs(mapping: Mapping[int, int]) -> dict[int, int]:
    """A mapping with plain integers as keys and values, at least one."""
    if not mapping:
        raise ValueError("`mapping` must map at least one class, got an empty mapping")
    return {
        check_integer(clean, "mapping", minimum=0, maximum=MOST_CLASSES - 1): check_integer(
            noisy, "mapping", minimum=0, maximum=MOST_CLASSES - 1
        )
        for clean, noisy in mapping.items()
    }


def mapping_targets(mapping: ClassMapping, num_classes: int) -> npt.NDArray[np.intp]:
    """(K,): the class that each class is mistaken for under ``mapping``, itself where it maps to nothing."""
    needed = mapping_classes(mapping)
    if isinstance(mapping, Mapping):
        if needed > num_classes:
            raise ValueError(f"`mapping` must be within [0, num_classes = {num_classes}), got class {needed - 1}")
        target = np.arange(num_classes)
        pairs = checked_pairs(mapping)
        target[list(pairs)] = list(pairs.values())
        return target
    if needed != num_classes:
        raise ValueError(f"`mapping` {mapping!r} is of {needed} classes, got `num_classes` {num_classes}")
    return named_targets(mapping)
