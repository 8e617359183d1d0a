"""Several heads as one: the mean of their calibrated log-probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self, cast, overload

import torch
from torch import Tensor, nn
from torch.nn import functional

from .._checks import check_number
from .base import Head, NMTuneOutput
from .files import SavedModule
from .kernel import KernelProbe
from .nmtune import MLPProbe, NMTune
from .probes import LinearProbe

MEMBERS: dict[str, type[Head] | type[KernelProbe]] = {
    kind.__name__: kind for kind in (NMTune, MLPProbe, LinearProbe, KernelProbe)
}


class AveragedHead(SavedModule):
    """logits = β Σ_m s_m log softmax(β_m · logits_m(F)): features (..., D) in, logits (..., K) out.

    For prediction; each member is trained on its own. Z, what `tune` gives, is Σ_m s_m · √D · Z_m/‖Z_m‖ over the
    members, so that a member's scale does not count; a probe's Z_m are the features themselves.

    Args:
        members: heads of the same D and K: `NMTune`, `MLPProbe`, `LinearProbe` or `KernelProbe`.
        factors: β_m > 0, one over the temperature of each; ``None``: 1.
        shares: s_m ≥ 0, brought to a sum of 1; ``None``: all alike.
        factor: β > 0.

    >>> import torch
    >>> from noisymodel.heads import AveragedHead, LinearProbe
    >>> generator = torch.Generator().manual_seed(0)
    >>> members = [LinearProbe(16, 3, generator=generator) for _ in range(2)]
    >>> AveragedHead(members)(torch.ones(8, 16)).shape
    torch.Size([8, 3])
    """

    def __init__(
        self,
        members: Sequence[Head | KernelProbe],
        *,
        factors: Sequence[float] | None = None,
        shares: Sequence[float] | None = None,
        factor: float = 1.0,
    ) -> None:
        super().__init__()
        shapes = {(member.in_features, member.num_classes) for member in members}
        if len(shapes) != 1:
            raise ValueError(f"`members` must be heads of one width and number of classes, got {sorted(shapes)}")
        ((self.in_features, self.num_classes),) = shapes
        self.members = nn.ModuleList(members)
        self.factors = _numbers(factors, "factors", len(members))
        weights = _numbers(shares, "shares", len(members))
        self.shares = [weight / sum(weights) for weight in weights]
        self.factor = check_number(factor, "factor", minimum=0, exclusive_minimum=True)

    @overload
    def forward(self, features: Tensor, return_features: Literal[False] = False) -> Tensor: ...
    @overload
    def forward(self, features: Tensor, return_features: Literal[True]) -> NMTuneOutput: ...
    def forward(self, features: Tensor, return_features: bool = False) -> Tensor | NMTuneOutput:
        """Logits (..., K), normalised log-probabilities up to β, or an `NMTuneOutput` with ``return_features=True``."""
        parts = [
            share * (factor * member(features)).log_softmax(-1)
            for member, factor, share in zip(self.members, self.factors, self.shares, strict=True)
        ]
        logits = self.factor * torch.stack(parts).sum(0)
        return NMTuneOutput(logits, self.tune(features)) if return_features else logits

    def tune(self, features: Tensor) -> Tensor:
        """Z (..., D), the members' average."""
        parts = [
            share * self.in_features**0.5 * functional.normalize(cast(Head, member).tune(features), dim=-1)
            for member, share in zip(self.members, self.shares, strict=True)
        ]
        return torch.stack(parts).sum(0)

    def config(self) -> dict[str, Any]:
        """The arguments that make this module again, ready for JSON."""
        members = [{"head": type(m).__name__, "arguments": cast(Head, m).config()} for m in self.members]
        return {"members": members, "factors": self.factors, "shares": self.shares, "factor": self.factor}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """The module of a `config`, with fresh weights."""
        members = [MEMBERS[entry["head"]](**entry["arguments"]) for entry in config["members"]]
        return cls(members, factors=config["factors"], shares=config["shares"], factor=config["factor"])


def _numbers(values: Sequence[float] | None, name: str, count: int) -> list[float]:
    if values is None:
        return [1.0] * count
    if len(values) != count:
        raise ValueError(f"`{name}` must have one number per member ({count}), got {len(values)}")
    return [check_number(value, name, minimum=0, exclusive_minimum=True) for value in values]
