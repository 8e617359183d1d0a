"""Exported networks back from their folders, after their checksums."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...errors import InputFileError
from ...files import file_checksum
from ..config import PretrainingConfig, build
from ..data import Examples, Inputs, batches
from ..output_folder import CONFIG_FILE
from ..pretraining import NOISE_OF, Network, PretrainingRequest, untrained

FORMAT = 1
MANIFEST_FILE = "manifest.json"
WEIGHTS_FILE = "model.safetensors"
AUDIT_FILE = "noise_audit.json"
ARCHITECTURE_FOLDER = "architecture"


@dataclass(frozen=True)
class ExportedNetwork:
    """A pre-trained network and what is known of it."""

    network: Network
    """In evaluation mode, its parameters frozen; ``network.backbone`` maps flattened inputs to features."""
    config: Mapping[str, Any]
    """Its ``config.json``: objective, architecture, noise, seed, inputs, settings."""
    audit: Mapping[str, Any]
    """Its ``noise_audit.json``."""

    def features(self, inputs: Inputs | Tensor) -> Tensor:
        """Features ``(n, num_features)`` of inputs as ``config["inputs"]`` says, a batch at a time.

        Raises:
            ValueError: inputs of another shape.
        """
        given: Inputs = inputs.numpy(force=True) if isinstance(inputs, Tensor) else inputs
        wanted = tuple(self.config["inputs"]["shape"])
        if tuple(given.shape[1:]) != wanted:
            shown = ", ".join(map(str, ("n", *wanted)))
            raise ValueError(f"`inputs` must have shape ({shown}), got {tuple(given.shape)}")
        with torch.no_grad():
            return torch.cat([self.network.features(batch) for batch in batches(given)])


def load_exported(folder: str | Path) -> ExportedNetwork:
    """The network in a folder that ``noisymodel study export`` wrote, one of the folders of the whole.

    The checksums of its files are compared first. Nothing is downloaded. Features are those of the study to the bit, on
    the same machine with as many threads.

    Raises:
        InputFileError: no such folder; a file that is missing, is not the one that was written, or is of a format that
            this version does not know.
        MissingExtraError: the library that the architecture is of is not installed.

    >>> from noisymodel import study
    >>> study.load_exported("no such folder")
    Traceback (most recent call last):
    noisymodel.errors.InputFileError: 'no such folder' holds no exported network: it has no readable manifest.json
    """
    place = Path(folder)
    manifest = verify_exported(place)
    if "networks" in manifest:
        names = [network["folder"] for network in manifest["networks"]]
        raise InputFileError(f"{str(folder)!r} holds {len(names)} networks; name one of them, such as {names[0]!r}")
    record = json.loads((place / CONFIG_FILE).read_text(encoding="utf-8"))
    network = untrained(_request(place, record))
    network.load_state_dict(safetensors.torch.load_file(place / WEIGHTS_FILE))
    network.name = record["name"]
    audit = json.loads((place / AUDIT_FILE).read_text(encoding="utf-8"))
    return ExportedNetwork(network.eval().requires_grad_(False), record, audit)


def verify_exported(folder: str | Path) -> dict[str, Any]:
    """Compare all files of an export, or of one of its networks, with its manifest, which is returned.

    Raises:
        InputFileError: no manifest, a format that this version does not know, or a file that differs.
    """
    place = Path(folder)
    try:
        manifest = json.loads((place / MANIFEST_FILE).read_text(encoding="utf-8"))
        layout, files = manifest["format"], dict(manifest["files"])
    except (OSError, ValueError, KeyError, TypeError):
        raise InputFileError(f"{str(folder)!r} holds no exported network: it has no readable {MANIFEST_FILE}") from None
    if layout != FORMAT:
        raise InputFileError(f"{str(folder)!r} is of format {layout}; this version of the library reads {FORMAT}")
    for name, checksum in files.items():
        path = place / name
        if not path.is_file():
            raise InputFileError(f"{str(path)!r} is missing: get the whole folder anew")
        if file_checksum(path) != checksum:
            raise InputFileError(f"{str(path)!r} is not the file that was written (its SHA-256 differs): get it anew")
    return manifest


def _request(place: Path, record: Mapping[str, Any]) -> PretrainingRequest:
    """A request whose network at its initial values has the shape of the exported one; its inputs are placeholders."""
    objective, architecture = record["objective"], record["architecture"]
    if (place / ARCHITECTURE_FOLDER).is_dir():
        architecture = f"{architecture.partition(':')[0]}:{place / ARCHITECTURE_FOLDER}"
    captions: NDArray[np.int64] | None = None
    if record["caption_length"]:
        captions = np.zeros((1, record["caption_length"]), dtype=np.int64)
    inputs = np.zeros((1, *record["inputs"]["shape"]), dtype=record["inputs"]["dtype"])
    return PretrainingRequest(
        objective=objective,
        architecture=architecture,
        noise_kind=NOISE_OF[objective][0],
        noise_rates=(record["noise_rate"],),
        examples=Examples(inputs, np.zeros(1, dtype=np.int64), captions),
        seed=record["seed"],
        classes=record["classes"],
        vocabulary=record["vocabulary"],
        config=build(PretrainingConfig, record["pretraining"], "pretraining."),
        gather=False,
    )
