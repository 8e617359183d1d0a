"""``noisymodel predict``: predict labels and probabilities of features by a saved classifier."""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .checking import FEATURE_FILES, check_output_file, classifier_folder, existing

if TYPE_CHECKING:
    from ._parser import Commands

_ROWS = 8192  # rows predicted at a time


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    predict = commands.add_parser(
        "predict",
        help="labels for features, from a classifier that `noisymodel tune` saved",
        description="Predict labels. Needs a classifier's folder (`model`, as `noisymodel tune` wrote it) and features "
        f"of the same backbone (N, D): {FEATURE_FILES}. Writes a CSV file with the "
        "columns row, id (where the store has ids), label and probability, one row for each row of features.",
    )
    predict.add_argument("model", metavar="MODEL", help="folder of a saved classifier")
    predict.add_argument("features", metavar="FEATURES", help="file of features, or feature store")
    predict.add_argument("--probabilities", action="store_true", help="a column of probabilities for every class")
    predict.add_argument("--out", metavar="FILE", required=True, help="CSV file to write")
    predict.add_argument("--force", action="store_true", help="replace the file")
    predict.set_defaults(run=_predict)


def _predict(options: argparse.Namespace) -> int:
    from ..errors import ConfigError, InputFileError
    from ..estimator import NMTuneClassifier
    from ..features.opening import open_features
    from ..files import write_file

    out = check_output_file(options.out, force=options.force)
    existing(options.features)
    classifier_folder(options.model)
    try:
        classifier = NMTuneClassifier.load(options.model)
    except (FileNotFoundError, ValueError) as error:
        raise InputFileError(" ".join(str(error).split())) from None
    features = open_features(options.features)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    try:
        writer.writerows(_table(classifier, features, all_classes=options.probabilities))
    except InputFileError:
        raise
    except ValueError as error:
        raise ConfigError(f"{options.features}: {' '.join(str(error).split())}") from None
    write_file(out, text.getvalue().encode())
    print(f"{len(features)} rows\nResults: {out}")
    return 0


def _table(classifier: Any, features: Any, *, all_classes: bool) -> Iterator[list[object]]:
    from ..features import FeatureStore

    ids = None
    if isinstance(features, FeatureStore):
        if classifier.backbone_ is not None:
            features.check_backbone(classifier.backbone_)
        ids, features = features.ids, features.features
    names = [f"p({label})" for label in classifier.classes_] if all_classes else []
    yield ["row", *(["id"] if ids is not None else []), "label", "probability", *names]
    for start in range(0, len(features), _ROWS):
        probabilities = classifier.predict_proba(features[start : start + _ROWS])
        for place, row in enumerate(probabilities, start=start):
            own = [] if ids is None else [getattr(ids[place], "item", lambda place=place: ids[place])()]
            best = int(row.argmax())
            shown = [f"{value:.6g}" for value in row] if all_classes else []
            yield [place, *own, classifier.classes_[best], f"{row[best]:.6g}", *shown]
