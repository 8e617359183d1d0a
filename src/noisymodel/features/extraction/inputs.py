"""The batches of a loader: inputs, with optional labels and ids."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Sized
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

_LABELS = ("labels", "label")
_IDS = ("ids", "id", "__key__")
_MASK = "attention_mask"

Prepare = Callable[[Sequence[Any]], Mapping[str, Tensor]]


class Batch(NamedTuple):
    """The backbone's arguments for a batch, with the labels and ids of its rows, if any."""

    arguments: tuple[Any, ...]
    keywords: dict[str, Any]
    labels: Any
    ids: Any

    @property
    def mask(self) -> Tensor | None:
        """The attention mask, or None."""
        found = self.keywords.get(_MASK)
        return found if isinstance(found, Tensor) else None


def read_batch(given: object, prepare: Prepare | None) -> Batch:
    """Read a batch: inputs, (inputs, labels), (inputs, labels, ids), or a dictionary with ``labels`` and ``ids``.

    The inputs are a tensor or raw samples.
    """
    if isinstance(given, Mapping):
        held = dict(cast("Mapping[str, Any]", given))
        labels, ids = _taken(held, _LABELS), _taken(held, _IDS)
        return Batch((), held, labels, ids)
    labels = ids = None
    inputs: Any = given
    if isinstance(given, (tuple, list)) and given and not _raw(given[0]):
        parts = cast("Sequence[Any]", given)
        if len(parts) > 3:
            raise TypeError(f"a batch of the loader has {len(parts)} parts, expected inputs, labels and ids")
        inputs, labels, ids = (*parts, None, None)[:3]
    if isinstance(inputs, Mapping):
        own = read_batch(inputs, prepare)
        return own._replace(labels=own.labels if labels is None else labels, ids=own.ids if ids is None else ids)
    if isinstance(inputs, Tensor):
        return Batch((inputs,), {}, labels, ids)
    if isinstance(inputs, np.ndarray):
        return Batch((torch.from_numpy(inputs),), {}, labels, ids)
    if prepare is None:
        raise TypeError(
            f"a batch of the loader holds {type(inputs).__name__}, expected a tensor: only backbones that are given by "
            "name know how to prepare texts and images"
        )
    return Batch((), dict(prepare(cast("Sequence[Any]", inputs))), labels, ids)


def moved(value: object, device: torch.device) -> Any:
    """Move a tensor to the device, without waiting if possible; other values do not change."""
    return value.to(device, non_blocking=True) if isinstance(value, Tensor) else value


def size_of(given: object) -> int:
    """B, the number of samples in a batch of the loader, which need not be prepared.

    Raises:
        TypeError: nothing in the batch has a length.
    """
    if isinstance(given, (tuple, list)) and given and not _raw(given[0]):
        return size_of(cast("Sequence[object]", given)[0])
    values = cast("Mapping[str, object]", given).values() if isinstance(given, Mapping) else [given]
    sizes = [len(value) for value in values if isinstance(value, Tensor) and value.ndim]
    sizes += [len(value) for value in values if isinstance(value, Sized) and not isinstance(value, Tensor)]
    if not sizes:
        raise TypeError("a batch of the loader holds no tensor: expected inputs (B, ...), labels and ids")
    return sizes[0]


def _taken(held: dict[str, Any], names: tuple[str, ...]) -> Any:
    for name in names:
        if name in held:
            return held.pop(name)
    return None


def _raw(value: object) -> bool:
    """Whether a list with this first element is a list of raw samples, rather than (inputs, labels)."""
    return isinstance(value, str) or hasattr(value, "convert")  # texts, or pictures of PIL
