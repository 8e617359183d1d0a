"""``noisymodel tune``: features and labels to a classifier, with its baselines beside it."""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._parser import positive, whole_number
from .checking import device_name, existing, make_output_folder

if TYPE_CHECKING:
    from ..estimator.comparison import Comparison
    from ._parser import Commands

REPORT = "report.json"
MODEL = "model"
_BASELINES = ("linear", "kernel", "mlp")


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    tune = commands.add_parser(
        "tune",
        help="fit a classifier on features, validate it beside its baselines, save it",
        description="Fit a classifier on features and labels, validate it on held-out rows beside a linear probe, "
        "a kernel probe and an MLP, and save it. Needs features (a feature store's folder or an .npy file of "
        "shape (N, D)) and labels: the store's own, or --labels. Writes the classifier and report.json into the output "
        "folder.",
    )
    tune.add_argument("features", metavar="FEATURES", help="feature store, or .npy file (N, D)")
    tune.add_argument("--labels", metavar="FILE", help=".npy, .csv, .tsv, or one label a line (default: the store's)")
    tune.add_argument("--label-column", metavar="NAME", help="column of a table (default: label, or the only one)")
    tune.add_argument(
        "--method", choices=("nmtune", "mlp", "linear", "kernel"), default="nmtune", help="default: nmtune"
    )
    tune.add_argument("--preset", choices=("paper", "official"), help="published settings of NMTune")
    tune.add_argument(
        "--weights", choices=("auto", "fixed"), default="auto", help="auto (default): by cross-validation"
    )
    tune.add_argument("--baselines", nargs="*", choices=_BASELINES, default=list(_BASELINES), help="default: all three")
    tune.add_argument("--validation", metavar="FRACTION", type=_fraction, default=0.2, help="held out (default: 0.2)")
    tune.add_argument(
        "--test",
        metavar="NAME=FEATURES[,LABELS]",
        action="append",
        default=[],
        help="further rows to evaluate on, such as shifted ones; may be repeated",
    )
    tune.add_argument("--refit", action="store_true", help="train the saved classifier on all rows after validation")
    tune.add_argument("--epochs", metavar="N", type=positive, default=30, help="default: 30")
    tune.add_argument("--batch-size", metavar="N", type=positive, default=64, help="default: 64")
    tune.add_argument("--seed", metavar="N", type=whole_number, default=0, help="default: 0")
    tune.add_argument("--device", help="default: a GPU where there is one")
    tune.add_argument("--out", metavar="DIR", required=True, help="output folder; must not hold a report yet")
    tune.add_argument("--force", action="store_true", help="replace the report and the classifier in the output folder")
    tune.set_defaults(run=_tune)


def _tune(options: argparse.Namespace) -> int:
    from ..errors import ConfigError, OutputFolderError
    from ..estimator import NMTuneClassifier
    from ..estimator.comparison import compare

    out, device = Path(options.out), device_name(options.device)
    if (out / REPORT).exists() and not options.force:
        raise OutputFolderError(f"{out / REPORT} exists: name another --out, or replace it with --force")
    make_output_folder(out)
    features, labels = _rows(options.features, options.labels, options.label_column)
    settings: dict[str, Any] = {"weights": options.weights, "epochs": options.epochs, "batch_size": options.batch_size}
    settings |= {"device": device, "verbose": 1}
    if options.preset:
        settings["preset"] = options.preset
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        try:
            found = compare(
                features,
                labels,
                method=options.method,
                baselines=options.baselines,
                validation_fraction=options.validation,
                tests=dict(_test(text, options.label_column) for text in options.test),
                seed=options.seed,
                **settings,
            )
            classifier = found.classifiers[options.method]
            if options.refit:
                classifier = NMTuneClassifier(**classifier.get_params()).fit(features, labels)
        except (ValueError, TypeError) as error:
            raise error if hasattr(error, "filename") else ConfigError(_one_line(error)) from None
    classifier.save(out / MODEL)
    _write_report(out / REPORT, options, found)
    print(_tables(found))
    print(f"Classifier: {out / MODEL}\nResults:    {out / REPORT}")
    return 0


def _rows(features: str, labels: str | None, column: str | None) -> tuple[Any, Any]:
    from ..errors import InputFileError
    from ..features import FeatureStore
    from ..features.opening import open_features, read_labels

    found = open_features(existing(features))
    own = read_labels(existing(labels), column=column).labels if labels else None
    if own is None and not (isinstance(found, FeatureStore) and found.labels is not None):
        raise InputFileError(f"{features} has no labels: give --labels FILE")
    if own is not None and len(own) != len(found):
        raise InputFileError(f"{labels} has {len(own)} labels, {features} {len(found)} rows")
    return found, own


def _test(text: str, column: str | None) -> tuple[str, tuple[Any, Any]]:
    from ..errors import ConfigError

    name, _, files = text.partition("=")
    features, _, labels = files.partition(",")
    if not name or not features:
        raise ConfigError(f"--test must be NAME=FEATURES or NAME=FEATURES,LABELS, got {text!r}")
    return name, _rows(features, labels or None, column)


def _write_report(path: Path, options: argparse.Namespace, found: Comparison) -> None:
    from .. import __version__
    from ..files import write_file

    arguments = {name: value for name, value in vars(options).items() if name not in ("run", "command")}
    report = {
        "library_version": __version__,
        "arguments": arguments,
        "training_rows": found.num_training,
        "saved": "trained on all rows" if options.refit else "trained without the validation rows",
        "accuracies": [row._asdict() for row in found.accuracies],
        "differences": [row._asdict() for row in found.differences],
        "scores": [{"method": row.method, "data": row.data, **row.scores._asdict()} for row in found.scores],
        "explanations": {name: one.explanation_ for name, one in found.classifiers.items()},
    }
    write_file(path, (json.dumps(report, indent=2) + "\n").encode())


def _tables(found: Comparison) -> str:
    lines = [f"{found.num_training} training rows", ""]
    lines.append(f"{'accuracy, % (95 % interval)':<30}{'method':<10}{'rows':>8}")
    for row in found.accuracies:
        shown = f"{100 * row.accuracy:5.1f} [{100 * row.low:.1f}, {100 * row.high:.1f}]"
        lines.append(f"{shown:<30}{row.method:<10}{row.rows:>8}  {row.data}")
    if found.differences:
        lines += ["", "difference, points (paired 95 % interval over rows)"]
    for row in found.differences:
        shown = f"{100 * row.mean:+5.1f} [{100 * row.low:+.1f}, {100 * row.high:+.1f}]"
        lines.append(f"{shown:<30}{row.method} − {row.baseline}, {row.data}")
    names = ("log loss", "calibration error", "macro F1", "balanced accuracy", "average precision")
    lines += ["", "".join(f"{name:<19}" for name in names) + "method"]
    for row in found.scores:
        shown = "".join(f"{value:<19.3f}" for value in row.scores)
        lines.append(f"{shown}{row.method:<10}{row.data}")
    lines += ["", *(f"{name}: {one.explanation_}" for name, one in found.classifiers.items())]
    return "\n".join([*lines, ""])


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _fraction(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"expected a number between 0 and 1, got {text!r}")
    return value
