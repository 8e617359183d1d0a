"""The command ``noisymodel``: arguments to a configuration, and on to the layer below."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from . import __version__
from .errors import ConfigError, MissingExtraError, OutputFolderError, StudyError

if TYPE_CHECKING:
    from .study import StudyConfig

FAILED = 1
BAD_INPUT = 2
INTERRUPTED = 130


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(BAD_INPUT, f"{self.prog}: {message} (see {self.prog} --help)\n")


def build_parser() -> argparse.ArgumentParser:
    """The parser of all sub-commands."""
    parser = _Parser(prog="noisymodel", description="Noisy Model Learning.")
    parser.add_argument("--version", action="version", version=f"noisymodel {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
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
    study.add_argument("--seeds", metavar="N", type=_positive, help="number of seeds (default: 8)")
    study.add_argument("--resume", action="store_true", help="go on with an unfinished study in the output folder")
    study.add_argument("--force", action="store_true", help="replace another study in the output folder")
    study.add_argument("--cache", metavar="DIR", help="folder of finished parts to share among studies")
    study.add_argument("--workers", metavar="N", type=_positive, help="number of processes (default: one per core)")
    study.set_defaults(run=_study)
    return parser


def _positive(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a positive integer, got {text!r}")
    return number


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code is 0, or 2 for bad input, 1 for a study that failed, 130 after Ctrl-C."""
    options = build_parser().parse_args(arguments)
    try:
        return options.run(options)
    except (ConfigError, MissingExtraError, OutputFolderError) as error:
        return _complain(error, BAD_INPUT)
    except StudyError as error:
        return _complain(error, FAILED)


def _complain(error: Exception, code: int) -> int:
    print(f"noisymodel: {error}", file=sys.stderr)
    return code


def _study(options: argparse.Namespace) -> int:
    from .study import run
    from .study.runner import TABLES_FILE, is_finished

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
    from .study import StudyConfig
    from .study.runner import read_claim

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
