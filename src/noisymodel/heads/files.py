"""Tensors and JSON on disk without pickle: written whole under a temporary name, then renamed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"


def write_file(path: Path, content: bytes) -> None:
    """Write a file that is either wholly the old one or wholly the new one, whenever the process dies."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)


def encode_tensors(tensors: Mapping[str, Tensor], record: object = None) -> bytes:
    """The bytes of a safetensors file with ``record`` as JSON in its header."""
    dense = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return save(dense, metadata={"format": "pt", "noisymodel": json.dumps(record)})


def read_tensors(path: Path) -> tuple[dict[str, Tensor], Any]:
    """The tensors, on the CPU, and the record of a file that `encode_tensors` made."""
    try:
        with safe_open(path, framework="pt") as content:
            tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118 - no mapping
            record = json.loads((content.metadata() or {}).get("noisymodel", "null"))
    except (SafetensorError, ValueError) as error:
        raise ValueError(f"{path} is damaged or no safetensors file ({error}): delete it and write it anew") from None
    return tensors, record


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
