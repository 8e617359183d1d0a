"""Files of a fitted classifier: JSON and safetensors, no pickle, checksums of everything."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from .. import __version__
from ..errors import import_extra
from ..files import file_checksum, write_file
from ..files.reading import parse_json
from ..heads import AveragedHead
from ..heads.averaged import MEMBERS
from ..heads.files import CONFIG_NAME, WEIGHTS_NAME, load_head
from .procedure import Selection

C = TypeVar("C")

FILE = "classifier.json"
KINDS: dict[str, Any] = {**MEMBERS, "AveragedHead": AveragedHead}
_FORMAT = 2


def save_classifier(folder: str | Path, classifier: Any) -> None:
    """Write the head, and as the last file the record of the classifier, with checksums of all files."""
    folder, classes = Path(folder), classifier.classes_
    plain = all(isinstance(label, str | int | float) for label in classes.tolist())
    if classes.dtype.kind not in "biufUO" or not plain:
        raise TypeError(f"`classes_` must be strings or numbers to be saved, got {classes.dtype}")
    names, selection = getattr(classifier, "feature_names_in_", None), classifier.selection_
    content: dict[str, Any] = {
        "format": _FORMAT,
        "library_version": __version__,
        "classes": {"dtype": classes.dtype.str, "labels": classes.tolist()},
        "parameters": _parameters(classifier),
        "feature_names": None if names is None else list(names),
        "history": classifier.history_,
        "explanation": classifier.explanation_,
        "selection": selection._asdict() if isinstance(selection, Selection) else None,
        "backbone": classifier.backbone_,
    }
    _encoded(content)  # fails, if at all, before anything is written
    classifier.head_.save_pretrained(folder)
    content["files"] = {name: file_checksum(folder / name) for name in (CONFIG_NAME, WEIGHTS_NAME)}
    content["sha256"] = hashlib.sha256(_encoded(content)).hexdigest()
    write_file(folder / FILE, json.dumps(content, indent=2, default=_plain).encode() + b"\n")


def _parameters(classifier: Any) -> dict[str, Any]:
    """The parameters that JSON can hold."""
    parameters = classifier.get_params(deep=False)
    parameters["on_epoch"] = None
    if not isinstance(classifier.random_state, int | np.integer):
        parameters["random_state"] = None
    parameters["device"] = None if classifier.device is None else str(classifier.device)
    if isinstance(classifier.class_weight, dict):
        parameters["class_weight"] = None  # JSON has only string keys; a fitted classifier does not need the weights
    return parameters


def load_classifier(kind: type[C], folder: str | Path) -> C:
    """A classifier that `save_classifier` wrote, its head in evaluation mode.

    Raises:
        FileNotFoundError: for a missing file.
        ValueError: for a file that differs from what `save_classifier` wrote.
    """
    head, record, classes = _read(Path(folder))
    loaded: Any = kind(**record["parameters"])
    loaded.head_, loaded.classes_, loaded.n_features_in_ = head, classes, head.in_features
    loaded.backbone_, loaded.history_ = record.get("backbone"), record["history"]
    loaded.n_iter_, loaded.explanation_ = max(1, len(record["history"])), record.get("explanation", "")
    loaded.selection_ = Selection(**record["selection"]) if record.get("selection") else None
    if record["feature_names"] is not None:
        loaded.feature_names_in_ = np.array(record["feature_names"], dtype=object)
    return loaded


def downloaded(repo_id: str, **options: Any) -> str:
    """The local folder of a classifier's repository on the Hugging Face Hub."""
    if repo_id.count("/") != 1 or repo_id.startswith((".", "/")):
        raise FileNotFoundError(f"{repo_id} is neither a folder nor the name of a repository (owner/name)")
    return str(hub().snapshot_download(repo_id, **options))


def hub() -> Any:
    """The package of the Hugging Face Hub."""
    return import_extra("huggingface_hub", extra="hub", purpose="the Hugging Face Hub")


def _read(folder: Path) -> tuple[Any, dict[str, Any], npt.NDArray[Any]]:
    """The head, the record and the classes of a folder."""
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
    if "network.layers.0.weight" in weights:
        weights["network.layers.0.weight"] = weights["network.layers.0.weight"] / scale
    if residual:
        weights["network.scale"] = weights["network.scale"] * scale
    if residual or name == "LinearProbe":
        weights["classifier.weight"] = weights["classifier.weight"] / scale
    arguments |= {"normalize": None} | ({} if name == "LinearProbe" else {"input_noise": 0.0})
    return KINDS[name].filled(arguments, weights)
