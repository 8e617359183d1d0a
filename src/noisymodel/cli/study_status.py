"""``noisymodel study status``: show the progress of a study."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from .checking import existing

if TYPE_CHECKING:
    from ._parser import Commands


def add(commands: Commands) -> None:
    """Add the command to the parser of the study's commands."""
    status = commands.add_parser(
        "status",
        help="say how far a study is, also while it runs",
        description="Say which cells and parts of a study are stored, which failed, and what is being pre-trained.",
    )
    status.add_argument("folder", metavar="DIR", help="folder of a study (--out of noisymodel study)")
    status.add_argument("--cache", metavar="DIR", help="the study's folder of finished parts, if not the one inside it")
    status.set_defaults(run=_status)


def _status(options: argparse.Namespace) -> int:
    from ..study import status

    print(status(existing(options.folder), cache=options.cache))
    return 0
