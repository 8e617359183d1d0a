"""The command ``noisymodel``: arguments to a configuration, and on to the layer below."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

from .. import __version__
from ..errors import ConfigError, InputFileError, MissingExtraError, OutputFolderError, StudyError
from . import analyze, extract, noise, predict, study, tune
from ._parser import BAD_INPUT, FAILED, Parser

_PIPE_CLOSED = 141  # what a shell reports of a program that SIGPIPE has ended

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
    """Run a command; the exit code is 0, or 2 for bad input, 1 for a study that failed, 130 after Ctrl-C.

    Where whoever reads the output has gone (``| head``), it ends without a word, with 141.
    """
    for stream in (sys.stdout, sys.stderr):  # a sign that a terminal has no letter for is no reason to fail
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    options = build_parser().parse_args(arguments)
    try:
        code = options.run(options)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is flushed when Python ends
        return _PIPE_CLOSED
    except (ConfigError, InputFileError, MissingExtraError, OutputFolderError) as error:
        return _complain(error, BAD_INPUT)
    except StudyError as error:
        return _complain(error, FAILED)


def _complain(error: Exception, code: int) -> int:
    print(f"noisymodel: {error}", file=sys.stderr)
    return code
