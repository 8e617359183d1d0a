"""``noisymodel tune``: fit a classifier to features and labels, and compare it with baselines."""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError, InputFileError, OutputFolderError
from ._parser import argument, positive, whole_number
from .checking import FEATURE_FILES, bad_input, device_name, existing, make_output_folder, named_paths

if TYPE_CHECKING:
    from ..estimator.comparison import Comparison
    from ..estimator.layers import LayerChoice, LayerProbe
    from ._parser import Commands

REPORT = "report.json"
MODEL = "model"
_BASELINES = ("linear", "kernel", "mlp")
_FRACTION = argument(float, "a number between 0 and 1", lambda value: 0 < value < 1)


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    tune = commands.add_parser(
        "tune",
        help="fit a classifier on features, validate it beside its baselines, save it",
        description="Fit a classifier on features and labels, validate it on held-out rows beside a linear probe, "
        f"a kernel probe and an MLP, and save it. Needs features (N, D) ({FEATURE_FILES}) "
        "and labels: the store's own, or --labels. Of several layers or poolings (several FEATURES, or a folder of "
        "stores as `noisymodel extract --layer A --layer B` writes it) a linear probe on each is reported first, and "
        "the one with the best "
        "validation accuracy is taken. Writes the classifier and report.json into the output folder.",
    )
    tune.add_argument(
        "features",
        metavar="[NAME=]FEATURES",
        nargs="+",
        help="file of features, feature store, or folder with a store for each layer; several are layers of one "
        "backbone on the same rows, and NAME is the layer's (default: the file's)",
    )
    tune.add_argument(
        "--labels",
        metavar="FILE",
        help="table, array, feature store, or one label a line; the same for all layers (default: the store's)",
    )
    tune.add_argument("--label-column", metavar="NAME", help="column of a table (default: label, or the only one)")
    tune.add_argument(
        "--method", choices=("nmtune", "mlp", "linear", "kernel"), default="nmtune", help="default: nmtune"
    )
    tune.add_argument("--preset", choices=("paper", "official"), help="published settings of NMTune")
    tune.add_argument(
        "--weights", choices=("auto", "fixed"), default="auto", help="auto (default): by cross-validation"
    )
    tune.add_argument("--baselines", nargs="*", choices=_BASELINES, default=list(_BASELINES), help="default: all three")
    tune.add_argument("--validation", metavar="FRACTION", type=_FRACTION, default=0.2, help="held out (default: 0.2)")
    tune.add_argument(
        "--test",
        metavar="NAME=FEATURES[,LABELS]",
        action="append",
        default=[],
        help="further rows to evaluate on, such as shifted ones; may be repeated. Of several layers: a folder with a "
        "store for each of the same names, or NAME/LAYER=FEATURES[,LABELS] once for each layer",
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
    from ..estimator import NMTuneClassifier
    from ..estimator.comparison import compare

    out, device = Path(options.out), device_name(options.device)
    if (out / REPORT).exists() and not options.force:
        raise OutputFolderError(f"{out / REPORT} exists: name another --out, or replace it with --force")
    make_output_folder(out)
    paths = _layers(options.features)
    own = _labels(options.labels, options.label_column)
    layers = {name: _rows(path, own, options.labels) for name, path in paths.items()}
    tests = _tests(options.test, list(layers), options.label_column)
    settings: dict[str, Any] = {"weights": options.weights, "epochs": options.epochs, "batch_size": options.batch_size}
    settings |= {"device": device, "verbose": 1}
    if options.preset:
        settings["preset"] = options.preset
    with warnings.catch_warnings(), bad_input():
        warnings.simplefilter("default")
        choice = _choice(layers, tests, options, device) if len(layers) > 1 else None
        chosen = choice.chosen if choice else next(iter(layers))
        features, labels = layers[chosen]
        found = compare(
            features,
            labels,
            method=options.method,
            baselines=options.baselines,
            validation_fraction=options.validation,
            tests={name: by_layer[chosen] for name, by_layer in tests.items()},
            seed=options.seed,
            **settings,
        )
        classifier = found.classifiers[options.method]
        if options.refit:
            classifier = NMTuneClassifier(**classifier.get_params()).fit(features, labels)
    classifier.save(out / MODEL)
    _write_report(out / REPORT, options, found, choice, paths)
    print(_tables(found))
    print(f"Classifier: {out / MODEL}\nResults:    {out / REPORT}")
    return 0


def _labels(path: str | None, column: str | None) -> Any:
    from ..features.opening import read_labels

    return read_labels(existing(path), column=column).labels if path else None


def _rows(features: str, own: Any, labels: str | None) -> tuple[Any, Any]:
    """Features and their labels ``own``, read from the file ``labels``; None: those of the store."""
    from ..features import FeatureStore
    from ..features.opening import open_features

    found = open_features(existing(features))
    if own is None and not (isinstance(found, FeatureStore) and found.labels is not None):
        raise InputFileError(f"{features} has no labels: give --labels FILE")
    if own is not None and len(own) != len(found):
        raise InputFileError(f"{labels} has {len(own)} labels, {features} {len(found)} rows")
    return found, own


def _layers(given: list[str]) -> dict[str, str]:
    """The paths of the layers' features, by layer."""
    from ..features.opening import stores_within

    found: list[tuple[str, str]] = []
    for text, (name, path) in zip(given, named_paths(given), strict=True):
        within = stores_within(existing(path))
        prefix = f"{name}/" if path != text or len(given) > 1 else ""
        found += [(f"{prefix}{layer}", str(store)) for layer, store in within.items()] or [(name, path)]
    twice = next((name for place, (name, _) in enumerate(found) if name in dict(found[:place])), None)
    if twice is not None:
        raise ConfigError(f"two layers are called {twice!r}: give each a name of its own, NAME=FEATURES")
    return dict(found)


def _tests(given: list[str], layers: list[str], column: str | None) -> dict[str, dict[str, tuple[Any, Any]]]:
    """The features and labels of each ``--test``, by the name of the test and then of the layer."""
    from ..features.opening import stores_within

    found: dict[str, dict[str, tuple[Any, Any]]] = {}
    for text in given:
        name, _, files = text.partition("=")
        features, _, labels = files.partition(",")
        if not name or not features:
            raise ConfigError(f"--test must be NAME=FEATURES or NAME=FEATURES,LABELS, got {text!r}")
        test, _, layer = name.partition("/")
        paths = {layers[0]: features}
        if len(layers) > 1 and layer in layers:
            name, paths = test, {layer: features}
        elif len(layers) > 1:
            paths = {own: str(store) for own, store in stores_within(existing(features)).items() if own in layers}
        own = _labels(labels, column)
        found[name] = found.get(name, {}) | {layer: _rows(path, own, labels) for layer, path in paths.items()}
    for name, by_layer in found.items():
        lacking = [layer for layer in layers if layer not in by_layer]
        if lacking:
            raise ConfigError(
                f"--test {name} has no features of the layer {lacking[0]!r}: give a folder with a store for each "
                f"layer, or --test {name}/{lacking[0]}=FEATURES[,LABELS]"
            )
    return found


def _choice(
    layers: dict[str, tuple[Any, Any]],
    tests: dict[str, dict[str, tuple[Any, Any]]],
    options: argparse.Namespace,
    device: str | None,
) -> LayerChoice:
    from ..estimator import compare_layers

    choice = compare_layers(
        {name: features for name, (features, _) in layers.items()},
        next(iter(layers.values()))[1],
        tests=tests,
        validation_fraction=options.validation,
        seed=options.seed,
        device=device,
    )
    print(_layer_table(choice))
    return choice


def _layer_table(choice: LayerChoice) -> str:
    width = max(5, *(len(probe.layer) for probe in choice.probes)) + 2
    names = ["validation", *choice.probes[0].tests]
    wide = [max(14, len(name) + 2) for name in names]
    lines = ["linear probe on each layer, accuracy in %"]
    lines.append(f"{'layer':<{width}}{'features':>8}" + "".join(f"{n:>{w}}" for n, w in zip(names, wide, strict=True)))
    for probe in choice.probes:
        values = [probe.validation, *probe.tests.values()]
        shown = "".join(f"{100 * one.accuracy:>{size}.1f}" for one, size in zip(values, wide, strict=True))
        lines.append(f"{probe.layer:<{width}}{probe.num_features:>8}{shown}")
    return "\n".join([*lines, f"Chosen by validation alone: {choice.chosen}", ""])


def _write_report(
    path: Path, options: argparse.Namespace, found: Comparison, choice: LayerChoice | None, paths: dict[str, str]
) -> None:
    from .. import __version__
    from ..files import write_file

    arguments = {name: value for name, value in vars(options).items() if name not in ("run", "command")}
    report = {
        "library_version": __version__,
        "arguments": arguments,
        "training_rows": found.num_training,
        "layers": [_layer_record(probe, paths) for probe in choice.probes] if choice else [],
        "chosen_layer": choice.chosen if choice else None,
        "layer_chosen_by": "validation accuracy of a linear probe" if choice else None,
        "saved": "trained on all rows" if options.refit else "trained without the validation rows",
        "accuracies": [row._asdict() for row in found.accuracies],
        "differences": [row._asdict() for row in found.differences],
        "scores": [{"method": row.method, "data": row.data, **row.scores._asdict()} for row in found.scores],
        "explanations": {name: one.explanation_ for name, one in found.classifiers.items()},
    }
    write_file(path, (json.dumps(report, indent=2) + "\n").encode())


def _layer_record(probe: LayerProbe, paths: dict[str, str]) -> dict[str, Any]:
    tests = {name: row._asdict() for name, row in probe.tests.items()}
    return {**probe._asdict(), "path": paths[probe.layer], "validation": probe.validation._asdict(), "tests": tests}


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
