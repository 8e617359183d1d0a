"""``noisymodel study export``: write the pre-trained networks of a study as files for others."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .checking import existing

if TYPE_CHECKING:
    from ._parser import Commands


def add(commands: Commands) -> None:
    """Add the command to the parser of the study's commands."""
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
