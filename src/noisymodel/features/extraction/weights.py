"""Fingerprints of a module's weights and architecture, and restoration of its mode and device."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Generator
from contextlib import contextmanager

import torch
from torch import nn


def weights_fingerprint(module: nn.Module) -> str:
    """SHA-256 over all parameters and buffers of the state dictionary, by name: names, types, shapes and bytes.

    The device does not matter. Any change of any weight or BatchNorm statistic changes the fingerprint.

    Raises:
        ValueError: the module has neither parameters nor buffers; all such modules would have the same fingerprint.

    >>> import torch
    >>> layer = torch.nn.Linear(2, 1)
    >>> _ = torch.nn.init.zeros_(layer.weight), torch.nn.init.zeros_(layer.bias)
    >>> weights_fingerprint(layer)[:8]
    'f622ac50'
    """
    digest = hashlib.sha256()
    weights = {name: value for name, value in module.state_dict().items() if isinstance(value, torch.Tensor)}
    if not weights:
        raise ValueError(f"{type(module).__name__} has no parameters to tell it apart by: name its `weights`")
    for name, value in sorted(weights.items()):
        digest.update(f"{name}\0{value.dtype}\0{tuple(value.shape)}\0".encode())
        content = value.detach().cpu().contiguous().reshape(-1)
        if content.numel():
            digest.update(content.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def architecture_fingerprint(module: nn.Module) -> str:
    """SHA-256 of the module's printed form (its parts and their settings), without addresses in memory."""
    return hashlib.sha256(re.sub(r" at 0x[0-9a-f]+", "", repr(module)).encode()).hexdigest()


def precision(module: nn.Module, autocast: torch.dtype | None) -> str:
    """The precision of the computation: the dtypes of the floating weights, and that of autocast."""
    kinds = {str(value.dtype).removeprefix("torch.") for value in module.parameters() if value.is_floating_point()}
    weights = "+".join(sorted(kinds)) or "float32"
    return weights if autocast is None else f"{weights}, autocast {str(autocast).removeprefix('torch.')}"


@contextmanager
def left_as_it_was(module: nn.Module, device: torch.device | None) -> Generator[torch.device]:
    """Put the module into evaluation mode on ``device``; afterwards restore the mode and device of each part.

    Yields the device of its weights. Each submodule's mode is restored separately, since some are frozen on purpose.
    """
    modes = {part: part.training for part in module.modules()}
    first = next((value for value in (*module.parameters(), *module.buffers())), None)
    home = torch.device("cpu") if first is None else first.device
    there = home if device is None else device
    try:
        module.eval()
        if there != home:
            module.to(there)
        yield there
    finally:
        for part, training in modes.items():
            part.training = training
        if there != home:
            module.to(home)
