"""Grouping of heads for joint training: heads of one kind, as many as fit into memory."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import NamedTuple

from ..heads import Head
from .grid import Configuration
from .kinds import kind_of

MEMORY = 2 << 30  # the most bytes of weights, gradients and moments in one batched model, unless one head has more


class Trial(NamedTuple):
    """A configuration and a seed: one head."""

    configuration: Configuration
    seed: int


def trials_together(
    configurations: Sequence[Configuration], seeds: Sequence[int], *, max_heads: int | None
) -> Iterator[list[Trial]]:
    """Lists of trials of one kind, at most ``max_heads`` each; the seeds of a configuration follow each other."""
    groups: dict[Hashable, list[Configuration]] = {}
    for configuration in configurations:
        groups.setdefault(kind_of(configuration.template), []).append(configuration)
    for members in groups.values():
        members.sort(key=lambda member: member.rates)
        trials = [Trial(member, seed) for member in members for seed in seeds]
        at_once = max_heads or max(1, MEMORY // _bytes(members[0].template))
        for begin in range(0, len(trials), at_once):
            yield trials[begin : begin + at_once]


def _bytes(head: Head) -> int:
    """The memory of a head in training: weights, gradients and two moments."""
    return 4 * sum(parameter.numel() * parameter.element_size() for parameter in head.parameters())
