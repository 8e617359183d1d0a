"""A head's folder, its configuration and its weights, and the modules that a folder can hold."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from ..files import encode_tensors, file_checksum, read_tensors, write_file
from ..files.reading import parse_json

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"
_BEFORE = {"normalize": None, "input_noise": 0.0}  # what heads did that were saved before they had these arguments


class SavedModule(nn.Module):
    """A module whose `config` makes it again, but for its weights."""

    def config(self) -> dict[str, Any]:
        """The arguments that make this module again, ready for JSON."""
        raise NotImplementedError

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """The module of a `config`, with fresh weights."""
        return cls(**config)

    @classmethod
    def filled(cls, config: dict[str, Any], weights: Mapping[str, Tensor]) -> Self:
        """The module of a `config` with these weights, which are not copied, in evaluation mode."""
        with torch.device("meta"):
            module = cls.from_config(config)
        module.load_state_dict(weights, strict=True, assign=True)
        return module.eval()

    def save_pretrained(self, folder: str | Path) -> None:
        """Write ``config.json`` and ``model.safetensors`` (no pickle) into ``folder``, which is created if needed.

        The configuration holds the weights' checksum. Where the folder holds a head already, the new configuration
        keeps the old one as ``"before"`` until the new weights are there. So whenever the process dies, the folder
        holds the old head or the new one.
        """
        folder, content = Path(folder), encode_tensors(self.state_dict())
        checksum = hashlib.sha256(content).hexdigest()
        record = {"head": type(self).__name__, "arguments": self.config(), "sha256": checksum}
        old = _present(folder)
        if old is not None:
            _write(folder, {**record, "before": old})
        write_file(folder / WEIGHTS_NAME, content)
        _write(folder, record)

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Self:
        """Read what `save_pretrained` wrote: on the CPU, in evaluation mode, with its saved type.

        Raises:
            FileNotFoundError: if one of the two files is missing.
            ValueError: for damaged files, another kind of head, and weights that do not fit the configuration.
        """
        arguments, weights = load_head(folder, cls.__name__)
        missing = inspect.signature(cls).parameters.keys() - arguments.keys()
        arguments |= {name: value for name, value in _BEFORE.items() if name in missing}
        try:
            return cls.filled(arguments, weights)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise ValueError(f"{folder} does not hold a {cls.__name__} of this version: {error}") from None


def load_head(folder: str | Path, name: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Arguments and weights of the head called ``name`` that `SavedModule.save_pretrained` wrote."""
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
