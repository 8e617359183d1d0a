"""The linear probe, trained as the other heads are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from ..objective import task_objective
from .base import Head

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup


class LinearProbe(Head):
    """A linear classifier on the features themselves: Z = F, logits = F Wᵀ + b.

    F is normalised by rows as in `noisymodel.NMTune`, unless ``normalize`` is ``None``. The interface of `NMTune`; the
    regularizers among its terms are zero. The published code trains it with a learning rate of 1e-2, ten times that of
    the networks.

    Args:
        in_features: D.
        num_classes: K; 0 or ``None``: no classifier.
        normalize: as in `noisymodel.NMTune`.
        label_smoothing: in [0, 1], that of `torch.nn.functional.cross_entropy`.
        gather: as in `noisymodel.NMTuneLoss`.
        classifier_init: as in `noisymodel.NMTune`.
        generator: what draws initial weights, on the CPU; ``None``: torch's global generator.

    >>> import torch
    >>> from noisymodel import LinearProbe
    >>> head = LinearProbe(16, 3, generator=torch.Generator().manual_seed(0))
    >>> head(torch.zeros(8, 16)).shape
    torch.Size([8, 3])
    """

    def __init__(
        self,
        in_features: int,
        num_classes: int | None,
        *,
        normalize: str | None = "l2",
        label_smoothing: float = 0.0,
        gather: bool | ProcessGroup = False,
        classifier_init: str = "linear",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(
            in_features,
            num_classes,
            network=nn.Identity(),
            objective=task_objective(label_smoothing, gather),
            normalize=normalize,
            classifier_init=classifier_init,
            generator=generator,
        )
