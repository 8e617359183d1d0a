"""Loading of exported networks from their folders, after a check of the checksums."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from string import ascii_letters, digits
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...errors import ConfigError, InputFileError
from ...files import file_checksum, read_json
from ..config import PretrainingConfig
from ..config_values import build
from ..data import Examples, Inputs, batches
from ..output_folder import CONFIG_FILE
from ..pretraining import NOISE_OF, Network, PretrainingRequest, untrained

FORMAT = 1
MANIFEST_FILE = "manifest.json"
WEIGHTS_FILE = "model.safetensors"
AUDIT_FILE = "noise_audit.json"
STUDY_FILE = "study.json"
ARCHITECTURE_FOLDER = "architecture"


@dataclass(frozen=True)
class ExportedNetwork:
    """A pre-trained network with its configuration and audit."""

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
    """Load a network from its folder in an export of ``noisymodel study export``.

    The checksums of its files are compared first. Nothing is downloaded. On the same machine with the same number of
    threads, the features equal those of the study to the bit.

    Raises:
        InputFileError: no such folder; a file is missing, changed or faulty; or the architecture is neither built in,
            nor a library's own, nor in the folder.
        MissingExtraError: the library of the architecture is not installed.

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
    record = read_record(place / CONFIG_FILE)
    request = _request(place, record)
    _check_sizes(place, request)
    try:
        network = untrained(request)
        network.load_state_dict(safetensors.torch.load_file(place / WEIGHTS_FILE))
    except (ConfigError, RuntimeError, safetensors.SafetensorError) as error:
        raise InputFileError(f"{str(place / WEIGHTS_FILE)!r} does not fit {CONFIG_FILE}: {error}") from None
    network.name = record["name"]
    audit = read_json(place / AUDIT_FILE)
    return ExportedNetwork(network.eval().requires_grad_(False), record, audit)


def verify_exported(folder: str | Path) -> dict[str, Any]:
    """Compare all files of an export, or of one of its networks, with its manifest, which is returned.

    Raises:
        InputFileError: no manifest, a format that this version does not know, or a file that differs.
    """
    place = Path(folder)
    try:
        manifest = read_json(place / MANIFEST_FILE)
        layout, files = manifest["format"], dict(manifest["files"])
    except (ValueError, KeyError, TypeError):
        raise InputFileError(f"{str(folder)!r} holds no exported network: it has no readable {MANIFEST_FILE}") from None
    if layout != FORMAT:
        raise InputFileError(f"{str(folder)!r} is of format {layout}; this version of the library reads {FORMAT}")
    _check_names(place, manifest, files)
    for name, checksum in files.items():
        path = place / name
        if not path.is_file():
            raise InputFileError(f"{str(path)!r} is missing: get the whole folder anew")
        if file_checksum(path) != checksum:
            raise InputFileError(f"{str(path)!r} is not the file that was written (its SHA-256 differs): get it anew")
    return manifest


def _check_names(place: Path, manifest: Mapping[str, Any], files: Mapping[str, Any]) -> None:
    """Check that a manifest lists the required files, all below its own folder."""
    listed = manifest.get("networks", [])
    try:
        folders = [str(network["folder"]) for network in listed]
    except (TypeError, KeyError):
        raise InputFileError(f"{str(place / MANIFEST_FILE)!r}: expected `networks` with a `folder` each") from None
    for name in (*files, *folders):
        parts = PurePosixPath(str(name))
        if parts.is_absolute() or ".." in parts.parts or "\\" in name or not parts.parts:
            raise InputFileError(f"{str(place / MANIFEST_FILE)!r} names {name!r}, which is not inside its folder")
        if not (place / name).resolve().is_relative_to(place.resolve()):
            raise InputFileError(f"{str(place / name)!r} leads out of its folder: get the whole folder anew")
    needed = (STUDY_FILE,) if "networks" in manifest else (CONFIG_FILE, WEIGHTS_FILE, AUDIT_FILE)
    for name in needed:
        if name not in files:
            raise InputFileError(f"{str(place / MANIFEST_FILE)!r} lists no {name}: get the whole folder anew")


# ---- what the folder says --------------------------------------------------------------------------------------------

_KINDS: Mapping[str, type | tuple[type, ...]] = {
    "name": str,
    "objective": str,
    "architecture": str,
    "noise_rate": (int, float),
    "seed": int,
    "classes": int,
    "vocabulary": int,
    "caption_length": int,
    "inputs": dict,
    "pretraining": dict,
}


def read_record(path: Path) -> dict[str, Any]:
    """Read a network's ``config.json``, and check its keys.

    Raises:
        InputFileError: a key is missing or has another type; the message has the file and the key.
    """
    record = read_json(path)
    for key, kind in _KINDS.items():
        if key not in record:
            raise InputFileError(f"{str(path)!r} has no key `{key}`: it is no network's configuration")
        if not isinstance(record[key], kind) or isinstance(record[key], bool):
            raise InputFileError(f"{str(path)!r}: `{key}` is {record[key]!r}, which it cannot be")
    if record["objective"] not in NOISE_OF:
        raise InputFileError(f"{str(path)!r}: `objective` must be one of {', '.join(NOISE_OF)}")
    shape, dtype = record["inputs"].get("shape"), record["inputs"].get("dtype")
    sizes = shape if isinstance(shape, list) else []
    if not sizes or len(sizes) > 3 or not all(type(size) is int and size > 0 for size in sizes):
        raise InputFileError(f"{str(path)!r}: `inputs.shape` must be one to three positive integers, got {shape!r}")
    if dtype not in ("float32", "int64"):
        raise InputFileError(f"{str(path)!r}: `inputs.dtype` must be float32 or int64, got {dtype!r}")
    return record


def _architecture(place: Path, asked: str) -> str:
    """The architecture of a network: built in, one of a library's own, or in the folder; nothing is fetched.

    Raises:
        InputFileError: anything else.
    """
    library, colon, name = asked.partition(":")
    if not colon:
        return asked
    folder = place / ARCHITECTURE_FOLDER
    if library == "transformers":
        config = read_json(folder / "config.json") if folder.is_dir() else None
        if config is None:
            raise InputFileError(
                f"{str(place)!r} names {asked!r}, and has no folder {ARCHITECTURE_FOLDER!r} with its configuration; "
                "nothing is downloaded: get the whole folder anew"
            )
        if "auto_map" in config:
            raise InputFileError(f"{str(folder)!r} brings code of its own (`auto_map`), which is not run")
        return f"{library}:{folder}"
    if not name or not set(name) <= set(ascii_letters + digits + "._-"):
        raise InputFileError(f"{str(place)!r} names {asked!r}, which is no model of {library}'s own: it is not fetched")
    return asked


def _check_sizes(place: Path, request: PretrainingRequest) -> None:
    """Check that the network will have the tensors in the file of weights, before it is built.

    Raises:
        InputFileError: names or shapes differ.
    """
    path = place / WEIGHTS_FILE
    try:
        with safetensors.safe_open(path, "pt") as file:
            held = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 - no mapping
    except (OSError, safetensors.SafetensorError) as error:
        raise InputFileError(f"{str(path)!r} cannot be read: {error}") from None
    settings, config = request.config, Path(request.architecture.partition(":")[2]) / "config.json"
    deep = [settings.transformer_depth, len(settings.widths), len(settings.resnet_widths)]
    if config.is_file():
        deep += [value for key, value in read_json(config).items() if "layer" in key and type(value) is int]
    used = [depth for depth in deep if depth > max(len(held), 64)]
    if used:
        raise InputFileError(f"{str(place / CONFIG_FILE)!r} asks for {used[0]} layers of {len(held)} tensors")
    if request.architecture.startswith("open_clip:"):
        return  # sizes are the library's, which cannot build models without memory
    try:
        with torch.device("meta"):
            wanted = {name: tuple(value.shape) for name, value in untrained(request).state_dict().items()}
    except (ConfigError, RuntimeError, ValueError, TypeError, ZeroDivisionError, AssertionError) as error:
        raise InputFileError(f"{str(place / CONFIG_FILE)!r} describes no network: {error}") from None
    other = sorted(set(held.items()) ^ set(wanted.items()))
    if other:
        name = other[0][0]
        raise InputFileError(
            f"{str(path)!r} does not fit {CONFIG_FILE}: tensor {name!r} is {held.get(name, 'missing')} there, and the "
            f"configuration asks for {wanted.get(name, 'none')}"
        )


def _request(place: Path, record: Mapping[str, Any]) -> PretrainingRequest:
    """A request for a network of the same shape as the exported one; its inputs are placeholders."""
    objective, architecture = record["objective"], _architecture(place, record["architecture"])
    captions: NDArray[np.int64] | None = None
    if record["caption_length"]:
        captions = np.broadcast_to(np.int64(0), (1, record["caption_length"]))
    inputs = np.broadcast_to(np.zeros((), record["inputs"]["dtype"]), (1, *record["inputs"]["shape"]))
    try:
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
        )
    except ConfigError as error:
        raise InputFileError(f"{str(place / CONFIG_FILE)!r}: {error}") from None
