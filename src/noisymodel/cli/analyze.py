"""``noisymodel analyze``: the spectra of features in files, side by side."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError
from ._parser import INTERRUPTED, positive, whole_number
from .checking import bad_input, make_output_folder, named_paths

if TYPE_CHECKING:
    from ..spectrum_files import FilesAnalysis
    from ._parser import Commands

_DTYPES = ("float32", "float16", "bfloat16", "float64")
_BLOCKS = 20
_PASSED = ("center", "normalize", "preset", "method", "intervals", "seed", "baseline", "top_k", "dtype", "num_features")


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    analyze = commands.add_parser(
        "analyze",
        help="spectra of features in files (SVE, LSVR, ranks), side by side and against a baseline",
        description="Measure the singular values of features. Needs files of features (N, D): feature stores' folders, "
        ".npy, .npz, .safetensors, .parquet (or a folder of them), .csv, .tsv, .bin with --dtype and --num-features; "
        "each is a column of the table. They are read in blocks and may be larger than memory. Prints a table; with "
        "--out also writes results.json, spectra.safetensors, figures and report.html.",
    )
    analyze.add_argument(
        "files", metavar="[NAME=]FILE", nargs="+",
        help="NAME is its column (default: the file's name); names such as 0.1 are noise rates",
    )  # fmt: skip
    rows = analyze.add_argument_group("what is read")
    rows.add_argument(
        "--key", "--column", dest="keys", metavar="NAME", action="append", default=[],
        help="array of an .npz or safetensors file, column of a Parquet or CSV file (f* for several columns of "
        "numbers); repeat it for several arrays of each file (default: features, or the only one)",
    )  # fmt: skip
    rows.add_argument("--rows", metavar="A:B", type=_span, default=(0, None), help="rows A to B (B not included)")
    rows.add_argument("--max-rows", metavar="N", type=positive, help="at most N rows of each file")
    rows.add_argument("--dtype", choices=_DTYPES, help="of .bin files, which have no header")
    rows.add_argument("--num-features", metavar="D", type=positive, help="of .bin files")
    how = analyze.add_argument_group("how")
    how.add_argument("--center", choices=("none", "column", "row"), default="none", help="default: none, F as it is")
    how.add_argument("--normalize", action="store_true", help="divide each row by its L2 norm first")
    how.add_argument("--preset", choices=("official",), help="the published code's: --normalize, then --center row")
    how.add_argument("--method", choices=("tsqr", "gram"), default="tsqr", help="gram: faster, less exact")
    how.add_argument("--metrics", metavar="A,B", help="sve, lsvr, effective_rank, ... (default: nine of them)")
    how.add_argument(
        "--intervals", metavar="BLOCKS", type=positive, nargs="?", const=_BLOCKS, default=0,
        help=f"jackknife intervals over rows (default: {_BLOCKS} blocks); put it behind the files",
    )  # fmt: skip
    how.add_argument(
        "--seed", metavar="N", type=whole_number, default=0, help="which rows come into one block (default: 0)"
    )
    against = analyze.add_argument_group("against a baseline")
    against.add_argument("--baseline", metavar="FILE", help="one of the files or names, or another file")
    against.add_argument("--top-k", metavar="K", type=positive, help="dimension of the subspaces (default: 5)")
    results = analyze.add_argument_group("results")
    results.add_argument("--out", metavar="DIR", help="output folder; must not hold results yet")
    results.add_argument("--force", action="store_true", help="replace the results in the output folder")
    results.add_argument("--no-figures", action="store_true", help="a page without figures; needs no matplotlib")
    results.add_argument("--json", action="store_true", help="print JSON instead of the table")
    analyze.set_defaults(run=_analyze)


def _analyze(options: argparse.Namespace) -> int:
    from ..spectrum_files import analyze_files, text_tables
    from ..spectrum_files.figures import check_drawable
    from ..spectrum_files.report import check_folder

    try:
        with bad_input():
            files = _named(options.files)
            if options.out is not None:
                paths = tuple(files.values() if isinstance(files, dict) else files)
                check_folder(options.out, force=options.force, inputs=paths)
                if not options.no_figures:
                    check_drawable()
                make_output_folder(options.out)
            found = analyze_files(files, **_arguments(options), progress=True)
    except KeyboardInterrupt:
        print("\nStopped; nothing was written.", file=sys.stderr)
        return INTERRUPTED
    for note in found.notes:
        print(f"note: {note}", file=sys.stderr)
    where = "printed alone; --out DIR keeps them as JSON, figures and a page"
    try:
        if options.out is not None:
            where = _write(found, options)
    finally:  # show the results even if writing files fails
        print(json.dumps(found.to_dict(), indent=1, allow_nan=False) if options.json else f"{text_tables(found)}\n")
    print(f"Results: {where}", file=sys.stderr if options.json else sys.stdout)
    return 0


def _write(found: FilesAnalysis, options: argparse.Namespace) -> str:
    """Write the results, and return their paths as text."""
    from ..errors import OutputFolderError
    from ..files.reading import reason
    from ..spectrum_files import write_report

    command = shlex.join(["noisymodel", *sys.argv[1:]]) if options.command == "analyze" else None
    try:
        paths = write_report(found, options.out, figures=not options.no_figures, force=options.force, command=command)
    except OSError as error:
        if isinstance(error, OutputFolderError):
            raise
        raise OutputFolderError(f"{options.out} cannot be written to ({reason(error)})") from None
    where = ", ".join(str(path) for path in paths[::-1] if path.suffix not in (".png", ".svg"))
    return where if options.no_figures else f"{where}, {paths[0].parent}"


def _arguments(options: argparse.Namespace) -> dict[str, Any]:
    first, last = options.rows
    if options.max_rows is not None:
        last = min(first + options.max_rows, last) if last is not None else first + options.max_rows
    found: dict[str, Any] = {"first_row": first, "last_row": last, "keys": options.keys}
    if options.metrics is not None:
        found["metrics"] = [name.strip() for name in options.metrics.split(",")]
    return {**found, **{name: getattr(options, name) for name in _PASSED}}


def _named(given: list[str]) -> list[str] | dict[str, str]:
    """Paths, or a dictionary of paths by name if any has a name."""
    pairs = named_paths(given)
    names, paths = [name for name, _ in pairs], [path for _, path in pairs]
    if paths == given:
        return given
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ConfigError(f"two files are called {twice!r}: give each a name of its own")
    return dict(pairs)


def _span(text: str) -> tuple[int, int | None]:
    first, colon, last = text.partition(":")
    good = colon and (first or last) and all(not part or part.isdecimal() for part in (first, last))
    start, end = (int(first or 0), int(last) if last else None) if good else (1, 0)
    if end is not None and start >= end:
        raise argparse.ArgumentTypeError(f"expected rows such as 0:1000, 1000: or :1000, got {text!r}")
    return start, end
