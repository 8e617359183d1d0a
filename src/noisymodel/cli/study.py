"""``noisymodel study``: run a whole study, from a configuration to a folder of results."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ConfigError, OutputFolderError, StudyWarning
from . import study_actions
from ._parser import INTERRUPTED, positive
from .checking import existing, make_output_folder

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
    study.add_argument("--data", help="source of data: glyphs (default), digits, captions or texts")
    study.add_argument("--config", metavar="FILE", help="configuration in TOML, YAML or JSON")
    study.add_argument("--preset", metavar="NAME", help="a study that comes with the library, such as full")
    study.add_argument("--out", metavar="DIR", help="output folder (default: noisymodel-study-<data or preset>)")
    study.add_argument("--seeds", metavar="N", type=positive, help="number of seeds (default: 8)")
    study.add_argument("--resume", action="store_true", help="go on with an unfinished study in the output folder")
    study.add_argument("--force", action="store_true", help="replace another study in the output folder")
    study.add_argument("--cache", metavar="DIR", help="folder of finished parts to share among studies")
    study.add_argument("--workers", metavar="N", type=positive, help="number of processes (default: one per core)")
    study.add_argument(
        "--dry-run",
        action="store_true",
        help="compute nothing: check the configuration, time a few steps of each kind of work, estimate time and disk",
    )
    study.add_argument(
        "--pretrain-only",
        action="store_true",
        help="pre-train all networks and nothing else; under torchrun the ranks share each. --resume does the rest",
    )
    study.add_argument("--backend", choices=("processes", "ray"), default="processes", help="how cells run in parallel")
    study.add_argument(
        "--shard",
        metavar="I/N",
        help="compute the I-th of N parts of the cells (from 0) and write no report; 'env' takes I and N from a Slurm "
        "array or torchrun. When all are done, --resume writes the report",
    )
    study.set_defaults(run=_study)
    others = study.add_subparsers(dest="action", metavar="[status | export | presets]", title="what else to do")
    study_actions.add(others)


def _study(options: argparse.Namespace) -> int:
    from ..study import run
    from ..study.output_folder import FAILURES_FILE, TABLES_FILE, is_finished

    config = _study_config(options)
    path = _study_folder(options, config)
    if options.dry_run:
        return _dry_run(options, config, path)
    make_output_folder(path)
    if options.cache:
        make_output_folder(options.cache, option="--cache")
    if is_finished(path, config) and not (options.resume or options.force):
        print(f"This study is finished already; --resume writes its report anew.\nResults: {path}")
        return 0
    try:
        if options.pretrain_only:
            return _pretrain_only(options, config, path)
        if options.shard:
            return _shard(options, config, path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", StudyWarning)  # reported below
            run(
                config,
                path,
                resume=options.resume,
                force=options.force,
                cache=options.cache,
                workers=options.workers,
                progress=True,
                backend=options.backend,
            )
    except KeyboardInterrupt:
        again = ["noisymodel", "study", "--resume", "--out", str(path)]
        again += ["--cache", options.cache] if options.cache else []
        print(f"\nStopped; finished parts are kept. To go on: {shlex.join(again)}", file=sys.stderr)
        return INTERRUPTED
    print((path / TABLES_FILE).read_text(encoding="utf-8"))
    print(f"Results: {path}\nPage:    {path / 'report.html'}")
    if (path / FAILURES_FILE).exists():
        _say_failures(path, json.loads((path / FAILURES_FILE).read_text(encoding="utf-8")))
        return 1
    return 0


def _dry_run(options: argparse.Namespace, config: StudyConfig, path: Path) -> int:
    from ..study import estimate
    from ..study.output_folder import CACHE_FOLDER

    cache = options.cache or path / CACHE_FOLDER
    print(estimate(config, cache, workers=options.workers or os.cpu_count() or 1))
    print(f"Nothing was computed or written. Results would go to: {path}")
    return 0


def _pretrain_only(options: argparse.Namespace, config: StudyConfig, path: Path) -> int:
    from ..study.execution import pretrain_study, process_group

    with process_group(config.pretraining.device) as first:
        failures = pretrain_study(config, path, cache=options.cache)
    if first:
        print(f"Pre-trained, {len(failures)} cells failed. To go on: noisymodel study --resume --out {path}")
        for failure in failures:
            print(failure, file=sys.stderr)
    return 1 if failures else 0


def _shard(options: argparse.Namespace, config: StudyConfig, path: Path) -> int:
    from ..study.execution import Shard
    from ..study.runner import run_shard

    shard = Shard.parse(options.shard)
    failures = run_shard(config, path, shard, cache=options.cache, workers=options.workers, progress=True)
    print(f"Shard {shard.index} of {shard.count}: {'failed' if failures else 'done'}. Results so far: {path}")
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


def _say_failures(path: Path, failures: list[dict[str, str]]) -> None:
    print(f"\nFailed, and therefore gaps in the results ({path / 'failures.json'} has the details):", file=sys.stderr)
    for failure in failures:
        print(f"  {failure['cell']}, {failure['part']}: {failure['message']}", file=sys.stderr)
    print("What was finished is kept; --resume tries the rest again.", file=sys.stderr)


def _study_config(options: argparse.Namespace) -> StudyConfig:
    """The configuration of the arguments; with ``--resume`` alone, that of the folder."""
    from ..study import StudyConfig
    from ..study.output_folder import read_claim
    from ..study.presets import preset_study

    if options.preset and options.config:
        raise ConfigError("--preset and --config: expected one of them, got both")
    told = options.config or options.data or options.seeds or options.preset
    if options.resume and not told:
        folder = existing(_study_folder(options, StudyConfig()))
        held = read_claim(folder)
        if held is None:
            raise OutputFolderError(f"{folder} holds no study to go on with: name its --out, or the study to begin")
        return StudyConfig.from_mapping(held)
    if options.preset:
        config = preset_study(options.preset)
    else:
        config = StudyConfig.load(existing(options.config)) if options.config else StudyConfig()
    if options.data:
        config = replace(config, data=options.data)
    if options.seeds:
        config = replace(config, seeds=tuple(range(config.seeds[0], config.seeds[0] + options.seeds)))
    return config


def _study_folder(options: argparse.Namespace, config: StudyConfig) -> Path:
    return Path(options.out or f"noisymodel-study-{options.preset or config.data}")
