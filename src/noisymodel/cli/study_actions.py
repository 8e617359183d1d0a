"""What else ``noisymodel study`` does: ``status``, ``presets`` and ``export``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .checking import existing

if TYPE_CHECKING:
    from ._parser import Commands


def add(commands: Commands) -> None:
    """Add the three commands to the parser of the study's commands."""
    _add_status(commands)
    _add_presets(commands)
    _add_export(commands)


def _add_status(commands: Commands) -> None:
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


def _add_presets(commands: Commands) -> None:
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


def _add_export(commands: Commands) -> None:
    export = commands.add_parser(
        "export",
        help="write the pre-trained networks with model cards, noise audits and checksums",
        description="Write every pre-trained network of a study, finished or not: weights (safetensors), model card, "
        "audit of the noise that it saw, checksums. Nothing is downloaded or uploaded.",
    )
    export.add_argument("folder", metavar="DIR", help="folder of a study (--out of noisymodel study)")
    export.add_argument("--to", metavar="ZOO", required=True, help="new or empty folder to write")
    export.add_argument("--cache", metavar="DIR", help="the study's folder of finished parts, if not the one inside it")
    export.add_argument("--licence", metavar="ID", help="licence of the weights (default: apache-2.0, or other)")
    export.set_defaults(run=_export)


def _export(options: argparse.Namespace) -> int:
    from ..study.export import export_study

    written = export_study(existing(options.folder), options.to, cache=options.cache, licence=options.licence)
    for name in written.missing:
        print(f"Left out, not pre-trained yet: {name}", file=sys.stderr)
    print(f"{len(written.networks)} networks, each with a card, an audit of its noise and checksums.")
    print(f"Networks: {written.path}\nOverview: {Path(written.path) / 'README.md'}")
    return 0
