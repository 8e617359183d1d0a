"""The command ``noisymodel``: it turns arguments into calls of the library."""

from __future__ import annotations

from collections.abc import Sequence

from .. import __version__
from . import analyze, extract, noise, predict, study, tune
from ._parser import Parser
from .guard import guarded, say_loading

# Each module has add(commands), whose parser's default `run` takes the options and returns the exit code.
COMMANDS = (study, noise, extract, analyze, tune, predict)


def build_parser() -> Parser:
    """The parser of all sub-commands."""
    parser = Parser(prog="noisymodel", description="Noisy Model Learning.")
    parser.add_argument("--version", action="version", version=f"noisymodel {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code is 0, or 2 for bad input, 1 for other failures, 130 after Ctrl-C."""

    def run() -> int:
        options = build_parser().parse_args(arguments)
        say_loading(options.command)
        return options.run(options)

    return guarded(run)
