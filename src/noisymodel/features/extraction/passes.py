"""Passes of batches through a backbone: the rows of each layer, and the check of their determinism."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, nullcontext
from typing import cast

import torch
from torch import Tensor, nn

from .inputs import Batch, moved
from .layers import OUTPUT, as_tensor, caught, pooled
from .pooling_files import OwnPooling
from .target import differ
from .weights import left_as_it_was


class Passes:
    """A backbone, with the layers and the pooling of its features.

    Args:
        module: the backbone.
        names: the layers.
        pooling: a rule of `POOLINGS`; None: the model's ``own``, or the mean.
        own: the pooling of the model's authors.
        autocast: see `extract`.
        note: a warning to give once when the mean is only the default; empty: none.
    """

    def __init__(
        self,
        module: nn.Module,
        names: list[str],
        pooling: str | None,
        own: OwnPooling | None,
        autocast: torch.dtype | None,
        note: str = "",
    ) -> None:
        self.module, self.names, self.autocast, self._note = module, names, autocast, note
        own = own or OwnPooling()
        self.rule = pooling or own.rule or "mean"
        self.normalize = pooling is None and own.rule is not None and own.normalize
        self._told = pooling is not None or own.rule is not None

    def described(self, name: str) -> str:
        """The description of a layer in a store's metadata."""
        return f"{name}, {self.rule}" + (", normalized" if self.normalize and name == OUTPUT else "")

    @contextmanager
    def ready(
        self, device: torch.device | None, module: nn.Module | None = None
    ) -> Generator[Callable[[Batch], dict[str, Tensor]]]:
        """Yield the function from a batch to the rows of each layer, of the backbone or of another copy of it."""
        module = self.module if module is None else module
        with torch.no_grad(), left_as_it_was(module, device) as there, caught(module, self.names) as held:
            yield lambda batch: self._forward(module, batch, there, held)

    def _forward(
        self, module: nn.Module, batch: Batch, device: torch.device, held: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        arguments = [moved(value, device) for value in batch.arguments]
        keywords = {name: moved(value, device) for name, value in batch.keywords.items()}
        context = torch.autocast(device.type, self.autocast) if self.autocast is not None else nullcontext()
        with context:
            output = module(*arguments, **keywords)
        if hasattr(module, "choose"):  # an ONNX network, whose outputs are its layers
            held.update(cast("Mapping[str, Tensor]", output))
        elif OUTPUT in self.names:
            held[OUTPUT] = as_tensor(output, OUTPUT)
        missing = [name for name in self.names if name not in held]
        if missing:
            raise ValueError(f"`layer` {missing[0]!r} was not used in the forward pass: name another one")
        rows = {name: self._pooled(held[name], batch.mask, name) for name in self.names}
        held.clear()
        return rows

    def _pooled(self, values: Tensor, mask: Tensor | None, name: str) -> Tensor:
        if values.ndim == 3 and not self._told and self._note:
            warnings.warn(self._note, UserWarning, stacklevel=2)
            self._told = True
        rows = pooled(values, self.rule, mask, name)
        return torch.nn.functional.normalize(rows, dim=1) if self.normalize and name == OUTPUT else rows

    def check(self, rows: dict[str, Tensor], again: dict[str, Tensor]) -> None:
        """Raise if two passes of one batch differ."""
        for name in self.names:
            if differ(rows[name], again[name]):
                raise ValueError(
                    f"the features of layer {name!r} are not the same when the first batch is passed twice: something "
                    "in the backbone is random in evaluation mode; cure that, or give check_determinism=False"
                )

    def check_other(self, rows: dict[str, Tensor], batch: Batch, other: nn.Module, device: torch.device | None) -> None:
        """Raise if a second copy, with new random values for missing weights, gives other features."""
        with self.ready(device, other) as passed:
            drawn = passed(batch)
        for name in self.names:
            if differ(rows[name], drawn[name]):
                raise ValueError(
                    f"the features of layer {name!r} depend on weights that the checkpoint does not hold and that are "
                    "drawn at random whenever it is loaded: name another `layer`"
                )
