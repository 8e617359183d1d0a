"""Files of a fitted classifier: JSON and safetensors, no pickle, checksums of everything."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from .. import __version__
from ..files import file_checksum, write_file
from ..files.reading import parse_json
from ..heads import AveragedHead
from ..heads.averaged import MEMBERS
from ..heads.files import CONFIG_NAME, WEIGHTS_NAME, load_head

FILE = "classifier.json"
KINDS: dict[str, Any] = {**MEMBERS, "AveragedHead": AveragedHead}
_FORMAT = 2


def save_classifier(folder: str | Path, head: nn.Module, record: Mapping[str, Any], classes: npt.NDArray[Any]) -> None:
    """Write the head, and as the last file the record of the classifier, with checksums of all files."""
    folder = Path(folder)
    plain = all(isinstance(label, str | int | float) for label in classes.tolist())
    if classes.dtype.kind not in "biufUO" or not plain:
        raise TypeError(f"`classes_` must be strings or numbers to be saved, got {classes.dtype}")
    content: dict[str, Any] = {
        "format": _FORMAT,
        "library_version": __version__,
        "classes": {"dtype": classes.dtype.str, "labels": classes.tolist()},
        **record,
    }
    _encoded(content)  # fails, if at all, before anything is written
    head.save_pretrained(folder)  # pyright: ignore[reportCallIssue] - all heads have this method
    content["files"] = {name: file_checksum(folder / name) for name in (CONFIG_NAME, WEIGHTS_NAME)}
    content["sha256"] = hashlib.sha256(_encoded(content)).hexdigest()
    write_file(folder / FILE, json.dumps(content, indent=2, default=_plain).encode() + b"\n")


def load_classifier(folder: str | Path) -> tuple[Any, dict[str, Any], npt.NDArray[Any]]:
    """The head in evaluation mode, the record, and the classes.

    Raises:
        FileNotFoundError: for a missing file.
        ValueError: for a file that differs from what `save_classifier` wrote.
    """
    folder = Path(folder)
    path = folder / FILE
    if not path.exists():
        raise FileNotFoundError(f"{folder} holds no saved classifier: {FILE} is missing")
    try:
        record = parse_json(path.read_text(encoding="utf-8"))
        written = record.pop("format")
        if written == _FORMAT:
            _verify(folder, {"format": written, **record})
        classes = np.array(record["classes"]["labels"], dtype=np.dtype(record.pop("classes")["dtype"]))
        name = parse_json((folder / CONFIG_NAME).read_bytes())["head"]
        kind = KINDS[name]
        record["parameters"]["method"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is damaged or was not written by NMTuneClassifier.save ({error!r})") from None
    if written not in (1, _FORMAT):
        raise ValueError(f"{path} has format {written}, this version reads {_FORMAT}: install a newer noisymodel")
    head = _unscaled(folder, name, float(record.pop("scale"))) if written == 1 else kind.from_pretrained(folder)
    if written == 1:
        del record["parameters"]["scale"]
        record["parameters"] |= {"weights": "fixed", "normalize": None, "input_noise": 0.0}
    if head.num_classes != len(classes):
        raise ValueError(f"{path} lists {len(classes)} classes, the head beside it has {head.num_classes}")
    return head, record, classes


def _verify(folder: Path, content: dict[str, Any]) -> None:
    claimed = content.pop("sha256")
    if hashlib.sha256(_encoded(content)).hexdigest() != claimed:
        raise ValueError(f"the checksum of {FILE} does not fit its content: save the classifier anew")
    for name, checksum in content["files"].items():
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} has no {name}: save the classifier anew")
        if file_checksum(folder / name) != checksum:
            raise ValueError(f"the checksum of {name} is not the one that {FILE} has: save the classifier anew")


def _encoded(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, default=_plain).encode()


def _plain(value: object) -> object:
    """Convert a number of numpy to one of Python."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} {value!r} cannot be saved: give a string or a number")


def _unscaled(folder: Path, name: str, scale: float) -> Any:
    """Convert a head of format 1, which needs features divided by ``scale``, to one for undivided features.

    Its Z is then in the units of the features: ``scale`` times the old Z.
    """
    arguments, weights = load_head(folder, name)
    residual = "network.scale" in weights
    for key in ("network.layers.0.weight",) if "network.layers.0.weight" in weights else ():
        weights[key] = weights[key] / scale
    if residual:
        weights["network.scale"] = weights["network.scale"] * scale
    if residual or name == "LinearProbe":
        weights["classifier.weight"] = weights["classifier.weight"] / scale
    arguments |= {"normalize": None} | ({} if name == "LinearProbe" else {"input_noise": 0.0})
    with torch.device("meta"):
        head = KINDS[name](**arguments)
    head.load_state_dict(weights, strict=True, assign=True)
    return head.eval()
