"""``noisymodel study``: the whole study, from a configuration to a folder of results."""

from __future__ import annotations

import argparse
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ._parser import INTERRUPTED, positive

if TYPE_CHECKING:
    from ..study import StudyConfig
    from ._parser import Commands


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    study = commands.add_parser(
        "study",
        help="pre-train with noise, tune, evaluate in and out of domain, look at the spectra",
        description="Pre-train small networks with noisy labels, tune their frozen features, evaluate in and out of "
        "domain, look at the spectra. Needs nothing but the library: without arguments it runs on pictures that it "
        "draws itself. Writes tables, figures and report.html into the output folder.",
    )
    study.add_argument("--data", help="source of pictures: glyphs (default) or digits")
    study.add_argument("--config", metavar="FILE", help="configuration in TOML, YAML or JSON")
    study.add_argument("--out", metavar="DIR", help="output folder (default: noisymodel-study-<data>)")
    study.add_argument("--seeds", metavar="N", type=positive, help="number of seeds (default: 8)")
    study.add_argument("--resume", action="store_true", help="go on with an unfinished study in the output folder")
    study.add_argument("--force", action="store_true", help="replace another study in the output folder")
    study.add_argument("--cache", metavar="DIR", help="folder of finished parts to share among studies")
    study.add_argument("--workers", metavar="N", type=positive, help="number of processes (default: one per core)")
    study.set_defaults(run=_study)


def _study(options: argparse.Namespace) -> int:
    from ..study import run
    from ..study.runner import TABLES_FILE, is_finished

    config = _study_config(options)
    path = _study_folder(options, config)
    if is_finished(path, config) and not (options.resume or options.force):
        print(f"This study is finished already; --resume writes its report anew.\nResults: {path}")
        return 0
    try:
        run(
            config,
            path,
            resume=options.resume,
            force=options.force,
            cache=options.cache,
            workers=options.workers,
            progress=True,
        )
    except KeyboardInterrupt:
        again = ["noisymodel", "study", "--resume", "--out", str(path)]
        again += ["--cache", options.cache] if options.cache else []
        print(f"\nStopped; finished parts are kept. To go on: {shlex.join(again)}", file=sys.stderr)
        return INTERRUPTED
    print((path / TABLES_FILE).read_text(encoding="utf-8"))
    print(f"Results: {path}\nPage:    {path / 'report.html'}")
    return 0


def _study_config(options: argparse.Namespace) -> StudyConfig:
    """The configuration that the arguments ask for; ``--resume`` alone takes that of the folder."""
    from ..study import StudyConfig
    from ..study.runner import read_claim

    told = options.config or options.data or options.seeds
    if options.resume and not told:
        held = read_claim(_study_folder(options, StudyConfig()))
        return StudyConfig() if held is None else StudyConfig.from_mapping(held)
    config = StudyConfig.load(options.config) if options.config else StudyConfig()
    if options.data:
        config = replace(config, data=options.data)
    if options.seeds:
        config = replace(config, seeds=tuple(range(config.seeds[0], config.seeds[0] + options.seeds)))
    return config


def _study_folder(options: argparse.Namespace, config: StudyConfig) -> Path:
    return Path(options.out or f"noisymodel-study-{config.data}")
