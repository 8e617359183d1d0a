"""Networks in ONNX files (``onnx:FILE``), run by onnxruntime; layers are tensors of the graph, by name."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from ...errors import InputFileError
from ...files import file_checksum
from .backbones import Backbone, described, imported, refuse_prompt
from .huggingface import Processed, preprocessing
from .layers import OUTPUT

_OF_TEXTS = ("tokenizer.json", "tokenizer_config.json")
_OF_PICTURES = "preprocessor_config.json"
_LOCATION = re.compile(rb"\n\x08location\x12(.)", re.DOTALL)  # a file of external weights: key, length, name


def load_onnx(name: str, pretrained: bool, prompt: str | None) -> Backbone:
    """Load the network in a file; its fingerprint is the hash of the file and of its external weights."""
    if not pretrained:
        raise ValueError("onnx: has no random weights: `pretrained` must be True")
    path = Path(name).absolute()
    if not path.is_file():
        raise InputFileError(f"there is no ONNX file {path}")
    module = OnnxModule(path)
    folder = next((one for one in (path.parent, path.parent.parent) if _has_settings(one)), None)
    if folder is None:
        refuse_prompt(prompt)
        metadata = described(f"onnx:{path.name}", {}, ["onnxruntime"]) | {"weights": module.fingerprint}
        return Backbone(module, None, None, metadata, complete=True)
    prepare = _prepare(folder, prompt)
    metadata = described(f"onnx:{path.name}", prepare.described(), ["onnxruntime"]) | {"weights": module.fingerprint}
    return Backbone(module, prepare.transform, prepare, metadata, prepare.own, complete=True)


def _has_settings(folder: Path) -> bool:
    return any((folder / file).is_file() for file in (*_OF_TEXTS, _OF_PICTURES))


def _prepare(folder: Path, prompt: str | None) -> Processed:
    texts = any((folder / file).is_file() for file in _OF_TEXTS)
    pictures = (folder / _OF_PICTURES).is_file()
    there = (folder / "config.json").is_file()
    config = imported("transformers", "hf").AutoConfig.from_pretrained(folder) if there else None
    return preprocessing(folder, config, prompt, texts=texts, pictures=pictures)


class OnnxModule(nn.Module):
    """A session of onnxruntime as a module without parameters; `choose` selects tensors of its graph."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.fingerprint = _fingerprint(path)
        self.tensors: dict[str, str] = {}  # the names in the graph by the names here
        self._sessions: dict[str, Any] = {}
        self.outputs = [one.name for one in self._session("cpu").get_outputs()]
        self.inputs = [one.name for one in self._session("cpu").get_inputs()]

    def choose(self, tensors: Sequence[str]) -> None:
        """Make the forward pass return these tensors of the graph, in a dictionary.

        ``"output"`` is the first output, unless a tensor has this name.

        Raises:
            ValueError: there is no such tensor.
        """
        first = OUTPUT if OUTPUT in self.outputs else self.outputs[0]
        self.tensors = {name: first if name == OUTPUT else name for name in tensors}
        self._sessions = {}
        try:
            self._session("cpu")
        except Exception as error:
            self.tensors, self._sessions = {}, {}
            raise ValueError(
                f"`layer` must name tensors of {self.path.name}, such as its outputs {', '.join(self.outputs)}, got "
                f"{', '.join(tensors)} ({' '.join(str(error).split())[:120]})"
            ) from None

    def forward(self, *arguments: Tensor, **keywords: Any) -> Tensor | dict[str, Tensor]:
        """Return the first output, or the chosen tensors."""
        given = dict(zip(self.inputs, arguments, strict=False))
        given |= {name: torch.as_tensor(value) for name, value in keywords.items() if name in self.inputs}
        missing = [name for name in self.inputs if name not in given]
        if missing:
            raise ValueError(
                f"{self.path.name} needs the inputs {', '.join(self.inputs)}, and {missing[0]} is not given"
            )
        device = given[self.inputs[0]].device if self.inputs else torch.device("cpu")
        feed = {name: value.detach().cpu().numpy() for name, value in given.items()}
        wanted = self.tensors or {OUTPUT: self.outputs[0]}
        found = cast("list[Any]", self._session(device.type).run(list(wanted.values()), feed))
        rows = {name: torch.from_numpy(np.array(value)).to(device) for name, value in zip(wanted, found, strict=True)}
        return rows if self.tensors else rows[OUTPUT]

    def _session(self, device: str) -> Any:
        if device not in self._sessions:
            runtime = imported("onnxruntime", "onnx")
            options = runtime.SessionOptions()
            options.log_severity_level = 4
            there = runtime.get_available_providers()
            chosen = [one for one in ("CUDAExecutionProvider",) if device == "cuda" and one in there]
            content: Any = str(self.path)
            if self.tensors:
                content = self.path.read_bytes() + _more_outputs(
                    [one for one in self.tensors.values() if one not in self.outputs]
                )
                options.add_session_config_entry(
                    "session.model_external_initializers_file_folder_path", str(self.path.parent)
                )
            self._sessions[device] = runtime.InferenceSession(
                content, options, providers=[*chosen, "CPUExecutionProvider"]
            )
        return self._sessions[device]

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_sessions": {}}


def _fingerprint(path: Path) -> str:
    """SHA-256 of the file and of the files of its external weights."""
    digest = hashlib.sha256(file_checksum(path).encode())
    content = path.read_bytes()
    names = {
        content[found.end() : found.end() + found[1][0]].decode(errors="replace")
        for found in _LOCATION.finditer(content)
    }
    if not names:
        return file_checksum(path)
    for name in sorted(names):
        beside = path.parent / name
        if not beside.is_file():
            raise InputFileError(f"{path} has weights in {name}, and there is no such file beside it")
        digest.update(f"{name}\0{file_checksum(beside)}\0".encode())
    return digest.hexdigest()


def _more_outputs(names: Sequence[str]) -> bytes:
    """Bytes that, appended to the model's bytes, make tensors of the graph outputs.

    Concatenated protobuf messages are merged. The bytes encode ModelProto.graph (7), GraphProto.output (12) and
    ValueInfoProto.name (1); onnxruntime infers the types.
    """
    outputs = b"".join(_field(12, _field(1, name.encode())) for name in names)
    return _field(7, outputs) if names else b""


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    digits = bytearray()
    while value > 127:
        digits.append(value & 127 | 128)
        value >>= 7
    return bytes([*digits, value])
