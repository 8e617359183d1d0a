"""A fitted classifier on disk: JSON and safetensors, no pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import __version__
from ..files import write_file
from ..heads import LinearProbe, MLPProbe, NMTune
from ..heads.base import Head

FILE = "classifier.json"
HEADS: Mapping[str, type[Head]] = {"nmtune": NMTune, "mlp": MLPProbe, "linear": LinearProbe}
_FORMAT = 1


def save_classifier(folder: str | Path, head: Head, record: Mapping[str, Any], classes: npt.NDArray[Any]) -> None:
    """Write the head and then, as the last file, what the classifier is."""
    folder = Path(folder)
    plain = all(isinstance(label, str | int | float) for label in classes.tolist())
    if classes.dtype.kind not in "biufUO" or not plain:
        raise TypeError(f"`classes_` must be strings or numbers to be saved, got {classes.dtype}")
    content = {
        "format": _FORMAT,
        "library_version": __version__,
        "classes": {"dtype": classes.dtype.str, "labels": classes.tolist()},
        **record,
    }
    text = json.dumps(content, indent=2)  # before anything is written: it may fail
    head.save_pretrained(folder)
    write_file(folder / FILE, (text + "\n").encode())


def load_classifier(folder: str | Path) -> tuple[Head, dict[str, Any], npt.NDArray[Any]]:
    """The head in evaluation mode, the record, and the classes.

    Raises:
        FileNotFoundError: for a missing file.
        ValueError: for a file that `save_classifier` did not write so.
    """
    path = Path(folder) / FILE
    if not path.exists():
        raise FileNotFoundError(f"{folder} holds no saved classifier: {FILE} is missing")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        written = record.pop("format")
        classes = np.array(record["classes"]["labels"], dtype=np.dtype(record.pop("classes")["dtype"]))
        kind = HEADS[record["parameters"]["method"]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is damaged or was not written by NMTuneClassifier.save ({error!r})") from None
    if written != _FORMAT:
        raise ValueError(f"{path} has format {written}, this version reads {_FORMAT}: install a newer noisymodel")
    head = kind.from_pretrained(folder)
    if head.num_classes != len(classes):
        raise ValueError(f"{path} lists {len(classes)} classes, the head beside it has {head.num_classes}")
    return head, record, classes
