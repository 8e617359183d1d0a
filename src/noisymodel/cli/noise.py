"""``noisymodel noise``: add noise to a file of labels or captions, with an audit; and verify an audit."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ..errors import ConfigError
from ._parser import argument, positive, whole_number
from .checking import bad_input, existing

if TYPE_CHECKING:
    from ._parser import Commands

_LABELS = ("symmetric", "pair_flip", "asymmetric", "from_transition", "from_confusion")
_SHARE = argument(float, "a share in [0, 1]", lambda value: 0 <= value <= 1)
_CAPTIONS = ("derangement", "permutation", "swap", "resample")


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    noise = commands.add_parser(
        "noise",
        help="put noise into a file of labels or captions, with an audit; or check an audit",
        description="Put noise into labels (a CSV, TSV, JSONL or Parquet file with a column label, or a folder of "
        "Parquet files; an .npy, .npz or .safetensors file; .txt with one label a line; a folder with a folder for "
        "each class; a feature store; WebDataset shards) or captions (such a table with a column caption; shards). "
        "Writes the new file, flipped.csv and audit.json into the output folder. With --verify, derives everything "
        "that an audit says again from the input, and compares.",
    )
    noise.add_argument(
        "input",
        metavar="INPUT",
        nargs="?",
        help="table, array, folder of pictures, feature store, .tar shard or folder of shards",
    )
    noise.add_argument("--out", metavar="DIR", help="output folder")
    noise.add_argument("--kind", choices=(*_LABELS, *_CAPTIONS), help="labels: the first five; captions: the last four")
    noise.add_argument("--rate", metavar="SHARE", type=_SHARE, help="in [0, 1]; not for from_transition")
    noise.add_argument("--seed", metavar="N", type=whole_number, help="a whole number; the same seed, the same noise")
    noise.add_argument("--column", metavar="NAME", help="default: label or caption; of shards: cls or txt")
    noise.add_argument("--image-column", metavar="NAME", help="captions with the same value are of one image")
    noise.add_argument("--alike", action="store_true", help="captions of the same text count as right")
    noise.add_argument("--num-classes", metavar="K", type=positive, help="default: as many as the file has")
    noise.add_argument("--selection", choices=("exact", "exact_per_class", "bernoulli"), help="default: exact")
    noise.add_argument("--include-true", action="store_true", help="symmetric: draw from all classes, the true one too")
    noise.add_argument(
        "--mapping",
        help="asymmetric: cifar10, mnist, cifar100, cifar100-contiguous, or labels such as 0:1,2:3 or cat:dog",
    )
    noise.add_argument("--matrix", metavar="FILE", help="from_transition, from_confusion: .npy or .csv, (K, K)")
    noise.add_argument("--convention", choices=("row", "column"), help="of --matrix; row: rows are clean classes")
    noise.add_argument("--force", action="store_true", help="replace the results in the output folder")
    noise.add_argument("--verify", metavar="AUDIT", help="an audit.json to check; no other argument but --source")
    noise.add_argument("--source", metavar="INPUT", help="with --verify: where the input is now")
    noise.set_defaults(run=_noise)


def _noise(options: argparse.Namespace) -> int:
    with bad_input():
        return _verify(options) if options.verify else _corrupt(options)


def _verify(options: argparse.Namespace) -> int:
    from ..noise_files import verify_audit

    audit = verify_audit(existing(options.verify), source=options.source, progress=True)
    print(f"{options.verify} holds: {_summary(audit)}")
    return 0


def _corrupt(options: argparse.Namespace) -> int:
    from ..noise_files import corrupt_captions, corrupt_labels

    for name in ("input", "out", "kind", "seed"):
        if getattr(options, name) is None:
            raise ConfigError(f"{'INPUT' if name == 'input' else '--' + name} is missing (see noisymodel noise --help)")
    rate = cast("float", options.rate)
    if options.rate is None and options.kind not in {"from_transition", "from_confusion"}:
        raise ConfigError("--rate is missing (see noisymodel noise --help)")
    existing(options.input)
    common: dict[str, Any] = {"column": options.column, "seed": options.seed, "force": options.force, "progress": True}
    if options.kind in _CAPTIONS:
        _refuse(options, "num_classes", "selection", "include_true", "mapping", "matrix", "convention")
        alike = {"alike": options.alike, "image_column": options.image_column}
        audit = corrupt_captions(options.input, options.out, rate=rate, mode=options.kind, **alike, **common)
    else:
        _refuse(options, "image_column", "alike")
        common |= {"num_classes": options.num_classes, **_options(options)}
        audit = corrupt_labels(options.input, options.out, kind=options.kind, rate=rate, **common)
    out = Path(options.out)
    print(f"{_summary(audit)}\nResults: {', '.join(str(out / name) for name in audit['output'])}")
    print(f"Audit:   {out / 'audit.json'}")
    return 0


def _summary(audit: dict[str, Any]) -> str:
    asked = "" if audit["requested_rate"] is None else f", asked for {100 * float(audit['requested_rate']):g} %"
    wrong = f"{audit['num_wrong']:,} of {audit['num_samples']:,} {audit['what']}"
    return f"{wrong} are wrong now ({100 * audit['realized_rate']:.4g} %{asked})"


def _options(options: argparse.Namespace) -> dict[str, Any]:
    """The keywords of the injector."""
    found: dict[str, Any] = {}
    if options.selection:
        found["selection"] = options.selection
    if options.include_true:
        found["include_true"] = True
    if options.mapping:
        found["mapping"] = _mapping(options.mapping)
    if options.matrix:
        found["counts" if options.kind == "from_confusion" else "matrix"] = _matrix(options.matrix)
    if options.convention:
        found["convention"] = options.convention
    return found


def _mapping(text: str) -> str | dict[str, str]:
    if ":" not in text:
        return text
    pairs = [pair.partition(":") for pair in text.split(",")]
    if not all(colon and clean.strip() and noisy.strip() for clean, colon, noisy in pairs):
        raise ValueError(f"--mapping must be a name, or pairs of labels such as 0:1,2:3 or cat:dog, got {text!r}")
    return {clean.strip(): noisy.strip() for clean, _, noisy in pairs}


def _matrix(name: str) -> Any:
    import numpy as np

    from ..errors import InputFileError
    from ..files import check_file
    from ..files.arrays import read_npy
    from ..files.reading import open_bytes, reason, text_lines

    file = check_file(Path(name))
    if file.suffix.lower() == ".npy":
        return np.array(read_npy(file))
    try:
        with open_bytes(file) as stream:
            return np.loadtxt(text_lines(file, stream), delimiter=",", ndmin=2)
    except InputFileError:
        raise
    except (OSError, ValueError) as error:
        raise InputFileError(f"{name} cannot be read as a matrix: {reason(error)}") from None


def _refuse(options: argparse.Namespace, *names: str) -> None:
    for name in names:
        if getattr(options, name):
            raise ConfigError(f"--{name.replace('_', '-')} is not for --kind {options.kind}")
