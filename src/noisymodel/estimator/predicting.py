"""Predictions of a head in float64, so that a row's result does not depend on the other rows of its batch."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

ROWS = 1024  # rows predicted at a time: in float64, with the hidden layer, they take tens of megabytes
_FEW = 1 << 16  # the most numbers that count as few


def are_plain(rows: object, width: int) -> bool:
    """Whether ``rows`` is a small array (N, D) of finite floats, for which scikit-learn's check, 50 µs, is needless."""
    return (
        type(rows) is np.ndarray
        and rows.shape[1:] == (width,)
        and 0 < rows.size <= _FEW
        and rows.dtype.char in "fd"
        and rows.dtype.isnative
        and bool(np.isfinite(rows).all())
    )


class _Copy(NamedTuple):
    tensors: list[Tensor]
    versions: list[int]
    device: torch.device
    head: nn.Module


_COPIES: WeakKeyDictionary[nn.Module, _Copy] = WeakKeyDictionary()


def outputs(head: nn.Module, features: npt.NDArray[Any], device: torch.device, what: str) -> npt.NDArray[np.float64]:
    """``"logits"`` (N, K) or ``"tuned"`` (N, D) of features (N, D), computed in float64 (on MPS in float32)."""
    exact = _exact(head, device)
    kind = torch.float32 if device.type == "mps" else torch.float64
    parts: list[Tensor] = []
    with torch.inference_mode():
        for begin in range(0, len(features), ROWS):
            piece = np.require(features[begin : begin + ROWS], requirements=["C", "W"])
            given = torch.from_numpy(piece).to(device, kind)
            found = exact(given) if what == "logits" else exact.tune(given)  # pyright: ignore[reportCallIssue]
            parts.append(found.double().cpu())
    return (parts[0] if len(parts) == 1 else torch.cat(parts)).numpy()


def _exact(head: nn.Module, device: torch.device) -> nn.Module:
    """A copy of a head in float64 on a device; it is cached until the head's weights change."""
    known = _COPIES.get(head)
    if known is not None and known.device == device and [one._version for one in known.tensors] == known.versions:
        return known.head
    tensors = [*head.parameters(), *head.buffers()]
    fresh = copy.deepcopy(head).requires_grad_(requires_grad=False).eval()
    fresh = fresh.to(device, torch.float32 if device.type == "mps" else torch.float64)
    _COPIES[head] = _Copy(tensors, [one._version for one in tensors], device, fresh)
    return fresh
