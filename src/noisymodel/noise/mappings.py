"""The published class mappings of asymmetric noise: which class is mistaken for which."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from .._checks import check_choice, check_integer
from .inputs import MOST_CLASSES

NamedMapping: TypeAlias = Literal["cifar10", "mnist", "cifar100", "cifar100-contiguous"]
ClassMapping: TypeAlias = NamedMapping | Mapping[int, int]

CIFAR100_SUPERCLASS = (
    4, 1, 14, 8, 0, 6, 7, 7, 18, 3, 3, 14, 9, 18, 7, 11, 3, 9, 7, 11, 6, 11, 5, 10, 7, 6, 13, 15, 3, 15, 0, 11, 1, 10,
    12, 14, 16, 9, 11, 5, 5, 19, 8, 8, 15, 13, 14, 17, 18, 10, 16, 4, 17, 4, 2, 0, 17, 4, 18, 17, 10, 3, 2, 12, 12, 16,
    12, 1, 9, 19, 2, 10, 0, 1, 16, 12, 9, 13, 15, 13, 16, 19, 2, 4, 6, 19, 5, 5, 8, 19, 18, 1, 2, 15, 6, 0, 17, 8, 14,
    13,
)  # fmt: skip
"""The superclass (0 to 19) of each of CIFAR-100's fine classes, which are numbered alphabetically."""


def _next_in_group(groups: Iterable[int]) -> dict[int, int]:
    """Each class to the next one of its group by ascending number, the last to the first."""
    members: dict[int, list[int]] = {}
    for label, group in enumerate(groups):
        members.setdefault(group, []).append(label)
    return {label: own[(place + 1) % len(own)] for own in members.values() for place, label in enumerate(own)}


MAPPINGS = {
    # truck → automobile, bird → airplane, cat ↔ dog, deer → horse (Patrini et al. 2017, as the next)
    "cifar10": ({9: 1, 2: 0, 3: 5, 5: 3, 4: 7}, 10),
    "mnist": ({7: 1, 2: 7, 3: 8, 5: 6, 6: 5}, 10),
    "cifar100": (_next_in_group(CIFAR100_SUPERCLASS), 100),
    "cifar100-contiguous": (_next_in_group(label // 5 for label in range(100)), 100),
}
"""The pairs (clean class: noisy class) of each published mapping, and its number of classes."""


def read_mapping(mapping: ClassMapping) -> tuple[dict[int, int], int]:
    """The pairs of a mapping, and its number of classes; for a dictionary the fewest that hold its classes."""
    if not isinstance(mapping, Mapping):
        check_choice(mapping, "mapping", MAPPINGS)
        return MAPPINGS[mapping]
    if not mapping:
        raise ValueError("`mapping` must map at least one class, got an empty mapping")
    pairs = {_read_class(clean): _read_class(noisy) for clean, noisy in mapping.items()}
    return pairs, max(*pairs, *pairs.values()) + 1


def _read_class(label: object) -> int:
    return check_integer(label, "mapping", minimum=0, maximum=MOST_CLASSES - 1)


def mapping_targets(mapping: ClassMapping, num_classes: int) -> npt.NDArray[np.intp]:
    """(K,): the class that each class is mistaken for under ``mapping``, itself where it maps to nothing."""
    pairs, needed = read_mapping(mapping)
    if isinstance(mapping, str) and needed != num_classes:
        raise ValueError(f"`mapping` {mapping!r} is of {needed} classes, got `num_classes` {num_classes}")
    if needed > num_classes:
        raise ValueError(f"`mapping` must be within [0, num_classes = {num_classes}), got class {needed - 1}")
    target = np.arange(num_classes)
    target[list(pairs)] = list(pairs.values())
    return target
