"""Where a head's training begins: at a fitted linear probe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from .network import TuningNetwork

if TYPE_CHECKING:
    from .base import Head


def begin_at(head: Head, probe: object) -> None:
    """`Head.start_from`."""
    weight, bias = _classifier_of(probe, head)
    if head.classifier is None or weight.shape != head.classifier.weight.shape:
        expected = f"({head.num_classes}, {head.in_features})"
        raise ValueError(
            f"`probe` must have a weight of shape {expected}, the head's classes and features, "
            f"got {tuple(weight.shape)}"
        )
    if bias.shape != weight.shape[:1]:
        raise ValueError(f"`probe` must have a bias of shape ({len(weight)},), got {tuple(bias.shape)}")
    if not bool(weight.isfinite().all() & bias.isfinite().all()):
        raise ValueError("`probe` must have finite weights, got NaN or infinity")
    if isinstance(head.network, TuningNetwork):
        head.network.become_identity()
    with torch.no_grad():
        head.classifier.weight.copy_(weight)
        head.classifier.bias.copy_(bias)


def _classifier_of(probe: Any, head: Head) -> tuple[Tensor, Tensor]:
    """Weight and bias of a probe that sees the rows as a head does."""
    if hasattr(probe, "classifier") and hasattr(probe, "network"):
        other = cast("Head", probe)
        if not isinstance(other.network, nn.Identity):
            raise TypeError(
                f"`probe` must be linear in the features, got a {type(probe).__name__}, which has a network"
            )
        if other.normalize != head.normalize:
            raise ValueError(
                f"`probe` must normalise its rows as the head does, normalize={head.normalize!r}, "
                f"got normalize={other.normalize!r}"
            )
        probe = other.classifier
    if probe is None or getattr(probe, "weight", None) is None:
        raise TypeError(f"`probe` must be a fitted LinearProbe or have `weight` and `bias`, got {type(probe).__name__}")
    weight = torch.as_tensor(probe.weight).detach()
    given = getattr(probe, "bias", None)
    bias = torch.zeros(len(weight), dtype=weight.dtype, device=weight.device) if given is None else given
    return weight, torch.as_tensor(bias).detach()
