"""Tensors and a JSON record in one safetensors file, without pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from .reading import parse_json


def encode_tensors(tensors: Mapping[str, Tensor], record: object = None) -> bytes:
    """The bytes of a safetensors file with ``record`` as JSON in its header."""
    dense = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return save(dense, metadata={"format": "pt", "noisymodel": json.dumps(record)})


def read_tensors(path: Path) -> tuple[dict[str, Tensor], Any]:
    """Read the tensors, on the CPU, and the record from a file that `encode_tensors` made."""
    try:
        with safe_open(path, framework="pt") as content:
            tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118 - it is not a mapping
            record = parse_json((content.metadata() or {}).get("noisymodel", "null"))
    except (SafetensorError, ValueError) as error:
        raise ValueError(f"{path} is damaged or no safetensors file ({error}): delete it and write it anew") from None
    return tensors, record
