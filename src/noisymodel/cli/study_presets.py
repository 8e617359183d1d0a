"""``noisymodel study presets``: list studies and data sets by name, and the files that each needs."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._parser import Commands


def add(commands: Commands) -> None:
    """Add the command to the parser of the study's commands."""
    presets = commands.add_parser(
        "presets",
        help="list studies and data sets by name, or say what one wants",
        description="List the studies that --preset runs and the data sets that [suite] preset = ... reads. With a "
        "name: the study's configuration, or what the data set wants, where to get it and how to lay it out.",
    )
    presets.add_argument("name", nargs="?", metavar="NAME", help="of a study or a data set")
    presets.set_defaults(run=_presets)


def _presets(options: argparse.Namespace) -> int:
    from ..study.config_values import unknown_name
    from ..study.data.suite import describe, presets
    from ..study.presets import STUDIES, preset_text

    if options.name is None:
        print("Studies (noisymodel study --preset NAME): " + ", ".join(STUDIES))
        print("Data ([suite] preset = NAME, root = FOLDER):\n  " + "\n  ".join(presets()))
    elif options.name in STUDIES:
        print(preset_text(options.name), end="")
    elif options.name in presets():
        print(describe(options.name))
    else:
        raise unknown_name("preset", options.name, [*STUDIES, *presets()])
    return 0
