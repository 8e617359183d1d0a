"""The baselines that every claim about NMTune is measured against."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from ..objective import NMTuneLoss
from .base import Head
from .network import TuningNetwork, check_size

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup


def _task_alone(label_smoothing: float, gather: bool | ProcessGroup) -> NMTuneLoss:
    """The objective without regularizers."""
    return NMTuneLoss(
        consistency_weight=0, covariance_weight=0, dominant_weight=0, label_smoothing=label_smoothing, gather=gather
    )


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
        in_features = check_size(in_features, "in_features")
        objective = _task_alone(label_smoothing, gather)
        super().__init__(
            in_features,
            num_classes,
            network=nn.Identity(),
            objective=objective,
            normalize=normalize,
            classifier_init=classifier_init,
            generator=generator,
        )


class MLPProbe(Head):
    """The network of `NMTune` trained with the task loss alone: the baseline of the regularizers.

    The arguments are those of `NMTune` and mean the same, but ``input_noise`` is 0 by default: the plain network is the
    baseline. With one generator seed both start from the same weights. The regularizers among its terms are zero.

    >>> import torch
    >>> from noisymodel import MLPProbe
    >>> head = MLPProbe(16, 3, label_smoothing=0.1, generator=torch.Generator().manual_seed(0))
    >>> terms = head.loss(torch.ones(8, 16), torch.arange(8) % 3)
    >>> terms.total is terms.task, terms.covariance.item()
    (True, 0.0)
    """

    def __init__(
        self,
        in_features: int,
        num_classes: int | None,
        *,
        hidden_features: int | None = None,
        depth: int = 1,
        norm: str | None = "batch",
        residual: bool = False,
        dropout: float = 0.0,
        normalize: str | None = "l2",
        input_noise: float = 0.0,
        label_smoothing: float = 0.0,
        gather: bool | ProcessGroup = False,
        classifier_init: str = "linear",
        generator: torch.Generator | None = None,
    ) -> None:
        in_features = check_size(in_features, "in_features")
        network = TuningNetwork(
            in_features,
            hidden_features=hidden_features,
            depth=depth,
            norm=norm,
            residual=residual,
            dropout=dropout,
            input_noise=input_noise,
            generator=generator,
        )
        objective = _task_alone(label_smoothing, gather)
        super().__init__(
            in_features,
            num_classes,
            network=network,
            objective=objective,
            normalize=normalize,
            classifier_init=classifier_init,
            generator=generator,
        )
