"""The identity of a study's part: everything that its values depend on, and nothing else.

A part has no name; its identity gives the key under which it is stored. The names of method, task and data are added
when results are collected. The identity does not contain the place of the computation, the frequency of checkpoints,
settings of networks that the part does not use, or the library's source code. So a change of a stage's computation must
raise the stage's number in `STAGES`.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .config import PretrainingConfig

STAGES: Mapping[str, int] = {"pretraining": 1, "networks": 1, "features": 1, "tuning": 1}
"""Stage -> its version. Raise the version when the numbers of the stage change."""

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Identity:
    """Everything that the values of one part depend on, JSON-ready."""

    stage: str
    """A key of `STAGES`."""
    data: Record
    """The pre-training data: source, options; for files, their content."""
    network: Record
    """Objective, architecture, the settings that these use; for an architecture in files, their content."""
    noise: Record
    """Kind, rates, options."""
    seed: int
    task: Record = field(default_factory=dict[str, Any])
    """The data of tuning and testing, including the shifts."""
    shots: int = 0
    method: Record = field(default_factory=dict[str, Any])
    """The builder of the head, all of its settings, and the settings of the training."""
    libraries: Record = field(default_factory=dict[str, Any])
    """Versions of the packages that compute the part."""

    def record(self) -> dict[str, Any]:
        """JSON-ready, with the version of the stage."""
        return json.loads(json.dumps({**asdict(self), "version": STAGES[self.stage]}, allow_nan=False))

    @property
    def key(self) -> str:
        """16 hexadecimal digits, the same in every process.

        >>> one = Identity("tuning", {"source": "glyphs"}, {}, {"kind": "symmetric"}, seed=1)
        >>> one.key == Identity("tuning", {"source": "glyphs"}, {}, {"kind": "symmetric"}, seed=1).key
        True
        """
        text = json.dumps(self.record(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


# ---- networks --------------------------------------------------------------------------------------------------------

_OF_ALL = ("epochs", "batch_size", "learning_rate", "weight_decay", "warmup")
_TRANSFORMER = ("transformer_width", "transformer_depth", "transformer_heads")
_OF_ARCHITECTURE: Mapping[str, tuple[str, ...]] = {
    "mlp": ("widths",),
    "resnet": ("resnet_widths",),
    "vit": ("patch_size", *_TRANSFORMER),
    "transformer": _TRANSFORMER,
    "timm": ("image_size",),
    "transformers": ("image_size",),
    "open_clip": ("image_size",),
}
_OF_OBJECTIVE: Mapping[str, tuple[str, ...]] = {
    "supervised": ("classifier_init",),
    "contrastive": ("temperature", "embedding", *_TRANSFORMER),
    "masked_token": ("mask_share",),
}
LIBRARY_OF = {"timm": "timm", "transformers": "transformers", "open_clip": "open_clip_torch"}
"""Prefix of an architecture -> package whose version matters."""


def network_record(objective: str, architecture: str, settings: PretrainingConfig) -> dict[str, Any]:
    """Objective and architecture with the settings that they use; ``settings`` with overrides resolved."""
    library, colon, name = architecture.partition(":")
    used = [*_OF_ALL, *_OF_ARCHITECTURE.get(library, ()), *_OF_OBJECTIVE[objective]]
    if library == "open_clip":  # brings an encoder of captions and projections of its own
        used = [key for key in used if key != "embedding" and key not in _TRANSFORMER]
    record: dict[str, Any] = {"objective": objective, "architecture": architecture}
    record |= {key: getattr(settings, key) for key in sorted(set(used))}
    if colon:
        held = architecture_files(name)
        if held:
            record |= {"architecture": library, "files": held}
        elif library == "transformers":
            record["configuration"] = _remote_configuration(name)
    return record


def architecture_files(name: str) -> dict[str, str]:
    """Checksums of the configuration files of an architecture in a folder or file; empty for a mere name."""
    path = Path(name.removeprefix("local-dir:"))
    files = [path] if path.is_file() else sorted(path.glob("*config*.json"))
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest()[:16] for file in files}


def _remote_configuration(name: str) -> dict[str, Any]:
    """The present configuration of a model on the Hub."""
    from .pretraining.libraries import transformers_configuration

    known = transformers_configuration(name).to_dict()
    known = {key: value for key, value in known.items() if key not in ("_name_or_path", "transformers_version")}
    return json.loads(json.dumps(known, default=str))


def made_with() -> dict[str, str]:
    """Versions of the software that computes a study, for readers."""
    return {"python": platform.python_version(), **library_versions("noisymodel", "scipy", "scikit-learn")}


def library_versions(*names: str) -> dict[str, str]:
    """Versions of torch, numpy and further packages, if they are installed."""
    found: dict[str, str] = {}
    for name in ("torch", "numpy", *names):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
