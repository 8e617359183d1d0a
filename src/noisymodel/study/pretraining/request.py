"""The request for a pre-training, and its random streams."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ...errors import ConfigError
from ..config import PretrainingConfig
from ..config_values import demand_known, unknown_name
from ..data import Examples
from .compatibility import ARCHITECTURES, NOISE_KINDS, NOISE_OF, OBJECTIVES, is_architecture

INITIALISATION, ORDER, DROPOUT, MASKS = 0, 1, 0x64726F70, 0x6D61736B
"""Streams of a request's seed."""


@dataclass(frozen=True)
class PretrainingRequest:
    """Networks to pre-train: one for each noise rate, from the same initial values, in the same order.

    Raises:
        ConfigError: an unknown objective, architecture or kind of noise, a combination that does not fit, or examples
            that the objective cannot learn from.
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
    """Its ``overrides`` are resolved for the objective and the architecture."""
    checkpoints: Path | None = None
    """A folder for the state of the training, from which the same request resumes."""
    gather: object = True
    """Whether the ranks of ``torch.distributed`` share the work: False, True (where a process group has been
    initialised), or a process group."""

    def __post_init__(self) -> None:
        demand_known("objectives", self.objective, OBJECTIVES)
        if not is_architecture(self.architecture):
            raise unknown_name("architectures", self.architecture, ARCHITECTURES)
        if self.architecture.startswith("open_clip:") and self.objective != "contrastive":
            raise ConfigError("config key `architectures`: open_clip's models are for the objective 'contrastive'")
        known = NOISE_OF[self.objective]
        if self.noise_kind not in known:
            demand_known("noise_kinds", self.noise_kind, NOISE_KINDS)
            raise ConfigError(
                f"config key `noise_kinds`: expected one of {', '.join(map(repr, known))} for the objective "
                f"{self.objective!r}, got {self.noise_kind!r}"
            )
        if self.objective == "contrastive" and self.examples.captions is None:
            raise ConfigError("config key `objectives`: 'contrastive' needs data with captions, these have none")
        if self.objective == "masked_token" and not self.texts:
            raise ConfigError("config key `objectives`: 'masked_token' needs texts, these are pictures")
        object.__setattr__(self, "config", self.config.resolved(self.objective, self.architecture))

    @property
    def texts(self) -> bool:
        """Whether the inputs are token ids."""
        return len(self.examples.inputs.shape) == 2
