"""The folder of finished parts: each is stored under the key of its identity, complete or not at all."""

from __future__ import annotations

import json
import math
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, cast

import safetensors
import torch

from ..files import encode_tensors, read_json, read_tensors, write_file
from .identity import Identity

Number = tuple[float, str, str, float]
"""Noise rate, shift, metric, value."""
Curve = tuple[float, str, str, float, int]
"""The same and an epoch."""


class Values(NamedTuple):
    """The values of one part."""

    numbers: Sequence[Number]
    network: str = ""
    """The name of a built-in network, with its sizes."""
    spectra: Mapping[str, Sequence[Sequence[float]]] = {}
    """Test set -> singular values of the features, a list for each noise rate."""
    curves: Sequence[Curve] | None = None
    """Values by epoch, if requested."""


class PartCache:
    """Parts on disk. A part that is unreadable, or of another identity, counts as missing.

    Args:
        folder: created on the first write; several studies, on several machines, may share it at the same time.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).absolute()

    def path(self, identity: Identity, suffix: str = ".json") -> Path:
        """The file of a part."""
        return self.folder / f"{identity.stage}-{identity.key}{suffix}"

    def checkpoints(self, identity: Identity) -> Path:
        """The folder for the state of an unfinished part; its owner deletes it (see `owned`)."""
        return self.path(identity, ".checkpoints")

    # ---- values ------------------------------------------------------------------------------------------------------

    def save(self, identity: Identity, values: Values) -> None:
        """Keep the values of a part.

        Raises:
            ValueError: a number is not finite.
        """
        content = {"identity": identity.record(), **values._asdict()}
        write_file(self.path(identity), json.dumps(content, allow_nan=False).encode())

    def load(self, identity: Identity, *, curves: bool = False) -> Values | None:
        """The values of a part, or ``None``; with ``curves``, values without curves count as missing."""
        try:
            content = read_json(self.path(identity))
            if content.pop("identity") != identity.record():
                return None
            values = _checked(Values(**content))
        except (ValueError, TypeError, KeyError, AttributeError):
            return None
        return None if curves and values.curves is None else values

    # ---- networks ----------------------------------------------------------------------------------------------------

    def save_networks(self, identity: Identity, states: Sequence[Mapping[str, torch.Tensor]]) -> None:
        """Keep the state dictionaries of pre-trained networks, one for each noise rate."""
        tensors = {f"{index}/{name}": tensor for index, state in enumerate(states) for name, tensor in state.items()}
        write_file(self.path(identity, ".safetensors"), encode_tensors(tensors, {"identity": identity.record()}))

    def load_networks(self, identity: Identity) -> list[dict[str, torch.Tensor]] | None:
        """The state dictionaries, or ``None``."""
        path = self.path(identity, ".safetensors")
        if not path.is_file():
            return None
        try:
            tensors, record = read_tensors(path)
            if cast("dict[str, Any]", record)["identity"] != identity.record():
                return None
        except (OSError, ValueError, TypeError, KeyError):
            return None
        states: list[dict[str, torch.Tensor]] = [{} for _ in identity.noise["rates"]]
        for name, tensor in tensors.items():
            index, _, own = name.partition("/")
            states[int(index)][own] = tensor
        return states

    def has_networks(self, identity: Identity) -> bool:
        """Whether networks are stored, judged by the header of their file."""
        try:
            with safetensors.safe_open(self.path(identity, ".safetensors"), "pt") as file:
                return len(file.keys()) > 0
        except (OSError, safetensors.SafetensorError):
            return False

    @contextmanager
    def owned(self, identity: Identity) -> Generator[None]:
        """Make other processes, also on other machines, wait while this one computes a part in the block.

        The lock is released when the process ends, however it ends.
        """
        from filelock import FileLock

        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.path(identity, ".lock")):
            yield


def _checked(values: Values) -> Values:
    """Check and convert the values from a file.

    Raises:
        ValueError, TypeError: the file holds something else.
    """
    numbers = [(float(rate), str(shift), str(metric), float(value)) for rate, shift, metric, value in values.numbers]
    curves = values.curves
    if curves is not None:
        curves = [(float(rate), str(shift), str(metric), float(value), int(epoch))
                  for rate, shift, metric, value, epoch in curves]  # fmt: skip
    spectra = {str(name): [list(map(float, row)) for row in rows] for name, rows in values.spectra.items()}
    if not numbers or not all(math.isfinite(number[3]) for number in numbers):
        raise ValueError("expected finite numbers")
    return Values(numbers, str(values.network), spectra, curves)
