"""A head's folder: its configuration and its weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ..files import encode_tensors, read_tensors, write_file

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"


def save_head(folder: str | Path, name: str, config: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
    """Write the weights and then the configuration, which holds the weights' checksum."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    content = encode_tensors(weights)
    record = {"head": name, "arguments": dict(config), "sha256": hashlib.sha256(content).hexdigest()}
    write_file(folder / WEIGHTS_NAME, content)
    write_file(folder / CONFIG_NAME, (json.dumps(record, indent=2) + "\n").encode())


def load_head(folder: str | Path, name: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Arguments and weights of the head called ``name`` that `save_head` wrote."""
    folder = Path(folder)
    for file in (CONFIG_NAME, WEIGHTS_NAME):
        if not (folder / file).is_file():
            raise FileNotFoundError(f"{folder} has no {file}: it must be a folder that save_pretrained wrote")
    path = folder / CONFIG_NAME
    try:
        record = json.loads(path.read_bytes())
        saved, arguments, checksum = record["head"], dict(record["arguments"]), record["sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged or not a head's configuration ({error!r}): save the head anew") from None
    if saved != name:
        raise ValueError(f"{folder} holds a {saved}, not a {name}: load it by {saved}.from_pretrained")
    weights, _ = read_tensors(folder / WEIGHTS_NAME)
    if hashlib.sha256((folder / WEIGHTS_NAME).read_bytes()).hexdigest() != checksum:
        raise ValueError(
            f"{folder / WEIGHTS_NAME} is not the file that {CONFIG_NAME} was written with (the checksums differ): "
            "save the head anew"
        )
    return arguments, weights
