"""Shared parts of all commands: the parser with one-line errors, argument types, exit codes."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias, TypeVar

FAILED = 1
BAD_INPUT = 2
INTERRUPTED = 130


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride] # overloads of namespaces
        """Parse as usual, but report a misspelt option itself, not the value after it as a wrong subcommand."""
        self._words = list(args or [])
        return super().parse_known_args(args, namespace)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride] # overloads of namespaces
        """Parse, and refuse words that no command knows in the name of the command."""
        options, unknown = self.parse_known_args(args, namespace)
        if unknown:
            command = f"{self.prog} {options.command}"
            self.exit(BAD_INPUT, f"{command}: unrecognized arguments: {' '.join(unknown)} (see {command} --help)\n")
        return options

    def error(self, message: str) -> NoReturn:
        known = self._option_string_actions
        unknown = [word for word in self._words if word.startswith("--") and word.split("=")[0] not in known]
        if "invalid choice" in message and unknown and not any(name.startswith(unknown[0]) for name in known):
            at = self._words.index(unknown[0])
            message = f"unrecognized arguments: {' '.join(self._words[at : at + 2])}"
        self.exit(BAD_INPUT, f"{self.prog}: {message} (see {self.prog} --help)\n")


if TYPE_CHECKING:
    Commands: TypeAlias = argparse._SubParsersAction[Parser]  # pyright: ignore[reportPrivateUsage] - argparse names no public type


T = TypeVar("T")


def argument(read: Callable[[str], T], expected: str, holds: Callable[[T], bool]) -> Callable[[str], T]:
    """The type of an argument: a text that ``read`` takes, and whose value ``holds``."""

    def checked(text: str) -> T:
        with suppress(ValueError):
            value = read(text)
            if holds(value):
                return value
        raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}")

    return checked


positive = argument(int, "a positive integer", lambda number: number > 0)
whole_number = argument(int, "a whole number", lambda number: number >= 0)
