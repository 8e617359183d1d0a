"""The targets of training and evaluation, checked."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .._checks import check_unmasked
from ..objective import IGNORED


def check_dense(tensor: Tensor, name: str) -> None:
    """Check that a tensor is dense (strided)."""
    if tensor.is_meta:
        raise ValueError(f"`{name}` must have values, got a tensor on the meta device, which has none")
    if tensor.layout != torch.strided:
        raise TypeError(f"`{name}` must be dense, got a tensor of layout {tensor.layout}; .to_dense() converts")


def checked_targets(targets: object, name: str, num_classes: int) -> Tensor:
    """Class ids (N,) in [0, K) or `IGNORED`, as int64; or class probabilities (N, K), non-negative with row sums 1.

    Raises:
        ValueError: for another shape, for ids out of range, and for rows that are not probabilities.
        TypeError: for another type.
    """
    if isinstance(targets, Tensor):
        check_dense(targets, name)
        targets = targets.detach()
        if targets.dtype in (torch.uint16, torch.uint32, torch.uint64):  # torch has few comparisons of these types
            targets = targets.cpu().numpy()
    if not isinstance(targets, Tensor):
        targets = _array_of_targets(targets, name, num_classes)
    if targets.is_floating_point():
        return _probabilities(targets, name, num_classes)
    if targets.dtype == torch.bool or targets.is_complex() or targets.ndim != 1:
        raise ValueError(
            f"`{name}` must be integer class ids of shape (N,), got {targets.dtype} of shape {tuple(targets.shape)}"
        )
    labels = targets.long()
    known = labels[labels != IGNORED]
    if len(known):
        _check_range(int(known.min()), int(known.max()), name, num_classes)
    return labels


def _array_of_targets(targets: object, name: str, num_classes: int) -> Tensor:
    check_unmasked(targets, name)
    try:
        array = np.asarray(targets)
    except ValueError as error:
        raise TypeError(f"`{name}` must be integer class ids or class probabilities, got {error}") from None
    if array.dtype.kind not in "iuf" or array.dtype.itemsize > 8:
        raise TypeError(
            f"`{name}` must be integer class ids or class probabilities, got {array.dtype}; "
            "np.unique(labels, return_inverse=True) gives ids"
        )
    if array.dtype.kind == "u":
        if array.size:
            _check_range(int(array.min()), int(array.max()), name, num_classes)
        array = array.astype(np.int64)
    return torch.from_numpy(np.require(array, array.dtype.newbyteorder("="), ["C", "W"]))


def _check_range(low: int, high: int, name: str, num_classes: int) -> None:
    if low < 0 or high >= num_classes:
        raise ValueError(
            f"`{name}` must be class ids in [0, {num_classes}), got ids from {low} to {high}; "
            f"give the head more classes or renumber the labels ({IGNORED} is a row without one)"
        )


def _probabilities(targets: Tensor, name: str, num_classes: int) -> Tensor:
    if targets.ndim != 2 or targets.shape[1] != num_classes:
        raise ValueError(
            f"`{name}` of floating type are class probabilities and must have shape (N, {num_classes}), "
            f"got {tuple(targets.shape)}; class ids must be integers"
        )
    sums = targets.double().sum(1) if targets.device.type != "mps" else targets.float().sum(1)
    tolerance = 1e-3 if targets.dtype in (torch.float32, torch.float64) else 2e-2
    if not bool(((sums - 1).abs() <= tolerance).all() & (targets >= 0).all()):
        raise ValueError(
            f"`{name}` of floating type must be class probabilities, not negative and with rows of sum 1, got entries "
            f"from {float(targets.min()):.4g} and sums from {float(sums.min()):.4g} to {float(sums.max()):.4g}; "
            "torch.softmax makes probabilities of logits"
        )
    return targets
