"""A head's folder: its configuration and its weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ..files import encode_tensors, file_checksum, read_tensors, write_file
from ..files.reading import parse_json

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"


def save_head(folder: str | Path, name: str, config: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
    """Write configuration, which holds the weights' checksum, and weights.

    Where the folder holds a head already, the new configuration keeps the old one as ``"before"`` until the new weights
    are there. So whenever the process dies, the folder holds the old head or the new one.
    """
    folder = Path(folder)
    content = encode_tensors(weights)
    record: dict[str, Any] = {
        "head": name,
        "arguments": dict(config),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    old = _present(folder)
    if old is not None:
        _write(folder, {**record, "before": old})
    write_file(folder / WEIGHTS_NAME, content)
    _write(folder, record)


def load_head(folder: str | Path, name: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Arguments and weights of the head called ``name`` that `save_head` wrote."""
    folder = Path(folder)
    for file in (CONFIG_NAME, WEIGHTS_NAME):
        if not (folder / file).is_file():
            raise FileNotFoundError(f"{folder} has no {file}: it must be a folder that save_pretrained wrote")
    path = folder / CONFIG_NAME
    try:
        records = _records(path)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged or not a head's configuration ({error!r}): save the head anew") from None
    checksum = file_checksum(folder / WEIGHTS_NAME)
    saved = next((record for record in records if record["sha256"] == checksum), records[0])
    if saved["head"] != name:
        kind = saved["head"]
        raise ValueError(f"{folder} holds a {kind}, not a {name}: load it by {kind}.from_pretrained")
    weights, _ = read_tensors(folder / WEIGHTS_NAME)
    if saved["sha256"] != checksum:
        raise ValueError(
            f"{folder / WEIGHTS_NAME} is not the file that {CONFIG_NAME} was written with (the checksums differ): "
            "save the head anew"
        )
    return saved["arguments"], weights


def _write(folder: Path, record: Mapping[str, Any]) -> None:
    write_file(folder / CONFIG_NAME, (json.dumps(record, indent=2) + "\n").encode())


def _records(path: Path) -> list[dict[str, Any]]:
    """What a configuration says: the head, and the one before it while that is being replaced."""
    content = parse_json(path.read_bytes())
    records = [content, *([content["before"]] if "before" in content else [])]
    return [
        {"head": record["head"], "arguments": dict(record["arguments"]), "sha256": record["sha256"]}
        for record in records
    ]


def _present(folder: Path) -> dict[str, Any] | None:
    """The record of the head that a folder holds, if it holds one."""
    try:
        checksum = file_checksum(folder / WEIGHTS_NAME)
        return next((record for record in _records(folder / CONFIG_NAME) if record["sha256"] == checksum), None)
    except (OSError, ValueError, KeyError, TypeError):
        return None
