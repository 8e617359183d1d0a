"""The grid of a sweep: dictionaries of arguments, checked before training begins, and the heads that they ask for."""

from __future__ import annotations

import copy
from collections.abc import Generator, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from .._checks import check_choice, check_integer, check_seed, check_sequence
from ..heads import HEADS, Head, settings_of
from ..training.schedule import Rates
from .stacked import kind_of

_NOT_OURS = ("gather",)
MEMORY = 2 << 30  # the most bytes of weights, gradients and moments in one batched model, unless one head has more


@dataclass(frozen=True)
class Configuration:
    """One dictionary of the grid: the kind of head, its arguments, and its training rates."""

    index: int
    given: dict[str, Any]
    method: type[Head]
    arguments: dict[str, Any]
    rates: Rates
    template: Head  # without weights

    def start(self, seed: int) -> Head:
        """The head with the initial weights that ``seed`` gives, on the CPU."""
        with torch.device("cpu"):
            head = self.method(**self.arguments, generator=torch.Generator().manual_seed(seed))
        return head.to(next(self.template.parameters()).dtype)

    def filled(self, state: Mapping[str, Tensor]) -> Head:
        """The head with the weights of a state dictionary, which are not copied, in evaluation mode."""
        head = copy.deepcopy(self.template)
        head.load_state_dict(state, assign=True)
        return head.eval()


def read_grid(
    grid: object,
    in_features: int,
    num_classes: int,
    *,
    defaults: Rates,
    epochs: int,
    dtype: torch.dtype,
) -> list[Configuration]:
    """Read the configurations of a grid; an error names the place and the key."""
    if isinstance(grid, (Mapping, str)) or not isinstance(grid, Iterable):
        raise TypeError(f"`grid` must be a list of dictionaries, got {type(grid).__name__}")
    check_sequence(grid, "grid", "dictionaries")
    check_integer(in_features, "in_features", minimum=1)
    check_integer(num_classes, "num_classes", minimum=1)
    shape = {"in_features": in_features, "num_classes": num_classes}
    configurations: list[Configuration] = []
    for index, given in enumerate(cast("Iterable[object]", grid)):
        if not isinstance(given, Mapping):
            raise TypeError(f"`grid[{index}]` must be a dictionary of NMTune's arguments, got {type(given).__name__}")
        given = cast("Mapping[str, Any]", given)
        with in_grid(index):
            method, arguments = _arguments(given)
            rates = defaults._replace(**{key: given[key] for key in Rates._fields if key in given}).checked(epochs)
            with torch.device("meta"):
                template = method(**shape, **arguments).to(dtype)
        configurations.append(Configuration(index, dict(given), method, shape | arguments, rates, template))
    if not configurations:
        raise ValueError("`grid` must have at least one configuration, got none; [{}] is NMTune with its defaults")
    return configurations


@contextmanager
def in_grid(index: int) -> Generator[None]:
    """Add the place of the configuration to the message of an error."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise type(error)(f"`grid[{index}]`: {error}") from None


def _arguments(given: Mapping[str, Any]) -> tuple[type[Head], dict[str, Any]]:
    """The class of the head, and those keys of a configuration that are its arguments."""
    name = given.get("method", "nmtune")
    check_choice(name, "method", HEADS)
    known = [key for key in settings_of(HEADS[name]) if key not in _NOT_OURS]
    allowed = {"method", *Rates._fields, *known}
    for key in given:
        if key not in allowed:
            listed = ", ".join(sorted(allowed))
            raise ValueError(f"`{key}` is nothing that method={name!r} takes in a sweep: it takes {listed}")
    return HEADS[name], {key: given[key] for key in known if key in given}


def read_seeds(seeds: object) -> list[int]:
    """Check the seeds: all different, at least one."""
    check_sequence(seeds, "seeds", "integers")
    checked = [check_seed(seed, "seeds") for seed in cast("Iterable[object]", seeds)]
    if not checked or len(set(checked)) < len(checked):
        raise ValueError(f"`seeds` must be different integers, at least one, got {checked}")
    return checked


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
