"""Public names that will go: they warn, for at least two minor versions, and the tests fail when their time is over."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import NamedTuple, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
Version = tuple[int, int]


class Deprecation(NamedTuple):
    """A public function that will be removed: since when it warns, and in which version it is gone."""

    name: str
    since: Version
    removal: Version


DEPRECATIONS: list[Deprecation] = []


def deprecated(*, since: str, removal: str, instead: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a function warn when it is called that it will be removed, and what to call instead.

    Args:
        since: the minor version that warns first, such as ``"0.3"``.
        removal: the minor version without it: at least two minor versions after ``since``, or the next major one.
        instead: what to use, as a whole phrase.

    Raises:
        ValueError: ``removal`` comes sooner.

    >>> @deprecated(since="0.3", removal="0.5", instead="use `covariance_loss`")
    ... def decorrelation(): ...
    >>> import warnings
    >>> with warnings.catch_warnings(record=True, action="always") as caught:
    ...     decorrelation()
    >>> print(caught[0].message)
    `decorrelation` is deprecated since noisymodel 0.3 and will be removed in 0.5: use `covariance_loss`
    """
    first, last = _parsed(since), _parsed(removal)
    if (last[0] == first[0] and last[1] < first[1] + 2) or last[0] < first[0]:
        raise ValueError(f"`removal` must be at least two minor versions after {since}, got {removal}")

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        name = function.__qualname__
        DEPRECATIONS.append(Deprecation(f"{function.__module__}.{name}", first, last))
        message = f"`{name}` is deprecated since noisymodel {since} and will be removed in {removal}: {instead}"

        @functools.wraps(function)
        def warning(*arguments: P.args, **keywords: P.kwargs) -> R:
            warnings.warn(message, FutureWarning, stacklevel=2)
            return function(*arguments, **keywords)

        return warning

    return decorate


def overdue(version: str, deprecations: list[Deprecation] | None = None) -> list[str]:
    """The names that should be gone in ``version`` and are still there."""
    now = _parsed(version)
    return [entry.name for entry in (DEPRECATIONS if deprecations is None else deprecations) if entry.removal <= now]


def _parsed(version: str) -> Version:
    major, minor = version.split(".")[:2]
    return int(major), int(minor)
