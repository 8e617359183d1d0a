"""The request for a pre-training, and its random streams."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ..config import PretrainingConfig
from ..data import Examples

INITIALISATION, ORDER, DROPOUT, MASKS = 0, 1, 0x64726F70, 0x6D61736B
"""Streams of a request's seed."""


@dataclass(frozen=True)
class PretrainingRequest:
    """Networks to pre-train: one for each noise rate, from the same initial values, in the same order.

    The names fit together and fit the examples (`fits`).
    """

    objective: str
    """``"supervised"``, ``"contrastive"`` or ``"masked_token"``."""
    architecture: str
    """``"mlp"``, ``"resnet"``, ``"vit"``, ``"transformer"``, ``"timm:NAME"``, ``"transformers:NAME_OR_FOLDER"`` or
    ``"open_clip:NAME"``."""
    noise_kind: str
    noise_rates: tuple[float, ...]
    examples: Examples
    """The clean examples; with captions for ``"contrastive"``."""
    seed: int
    """Fixes initial values, order, noise, masks and dropout."""
    classes: int = 0
    """The number of classes of the labels, for ``"supervised"``."""
    vocabulary: int = 0
    """The number of token ids."""
    config: PretrainingConfig = field(default_factory=PretrainingConfig)
    """The settings of this objective and this architecture, overrides resolved."""
    checkpoints: Path | None = None
    """A folder for the state of the training, from which the same request resumes."""
    gather: object = True
    """Whether the ranks of ``torch.distributed`` share the work: False, True (where a process group has been
    initialised), or a process group."""

    @property
    def texts(self) -> bool:
        """Whether the inputs are token ids."""
        return len(self.examples.inputs.shape) == 2
