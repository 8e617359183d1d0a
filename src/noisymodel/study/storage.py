"""Parts of a study on disk: named by the hash of what they were computed from, whole or not there at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from ..files import write_file
from .config import fingerprint

_AFTER_THE_NUMBERS = (
    "cli/",
    "plot/",
    "study/analysis",
    "study/computing.py",
    "study/estimating.py",
    "study/export",
    "study/failures.py",
    "study/folder.py",
    "study/intervals.py",
    "study/ray_tasks.py",
    "study/report",
    "study/runner.py",
    "study/statistics.py",
    "study/completeness.py",
    "study/worker",
)
"""Code that no stored number depends on, so that a change there computes nothing anew."""


@cache
def code_fingerprint() -> str:
    """Hash of the library's code that numbers depend on, and of the versions of what it computes with."""
    package = Path(__file__).parent.parent
    digest = sha256()
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package).as_posix()
        if not name.startswith(_AFTER_THE_NUMBERS):
            digest.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    return fingerprint(digest.hexdigest(), *(version(name) for name in ("torch", "numpy", "scipy", "scikit-learn")))


class Storage:
    """A folder of parts.

    Args:
        folder: made on first writing.
        code: hash of the code that computes the parts, a part of all their names; that of this process by default.
    """

    def __init__(self, folder: Path, code: str | None = None) -> None:
        self.folder = folder
        self.code = code or code_fingerprint()

    def load_json(self, kind: str, key: str) -> Any | None:
        """What was saved under this name, or ``None``; what cannot be read counts as not there."""
        try:
            return json.loads((self.folder / f"{kind}-{key}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def has_json(self, kind: str, key: str) -> bool:
        """Whether something was saved under this name."""
        return (self.folder / f"{kind}-{key}.json").is_file()

    def has_tensors(self, kind: str, key: str) -> bool:
        """Whether tensors were saved under this name."""
        return (self.folder / f"{kind}-{key}.safetensors").is_file()

    def save_json(self, kind: str, key: str, content: object) -> None:
        """Save JSON-ready values; floats come back to the bit."""
        text = json.dumps(content, allow_nan=False)
        write_file(self.folder / f"{kind}-{key}.json", text.encode())

    def load_tensors(self, kind: str, key: str) -> dict[str, torch.Tensor] | None:
        """The tensors that were saved under this name, or ``None``; a file that is not whole counts as not there."""
        try:
            return safetensors.torch.load_file(self.folder / f"{kind}-{key}.safetensors")
        except (OSError, safetensors.SafetensorError):
            return None

    def save_tensors(self, kind: str, key: str, tensors: Mapping[str, torch.Tensor]) -> None:
        """Save tensors by name."""
        write_file(self.folder / f"{kind}-{key}.safetensors", safetensors.torch.save(dict(tensors)))
