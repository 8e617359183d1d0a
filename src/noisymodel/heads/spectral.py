"""The regularizers on the backbone's own features, for backbones that are trained themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from .._checks import check_integer
from ..objective import CONSISTENCY_WEIGHT, COVARIANCE_WEIGHT, DOMINANT_WEIGHT, REDUCTION, TOP_K, NMTuneLoss
from .base import Head
from .network import check_size

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup


class SpectralProbe(Head):
    """A linear classifier whose regularizers act on the features themselves: Z = F, logits = F Wᵀ + b.

    The head takes the backbone's raw features, which the terms are to shape; ``normalize="l2"`` first scales them to
    length √D, as in `noisymodel.NMTune`.

    Use it for LoRA and full fine-tuning, where the terms' gradients shape the backbone; on frozen features the
    regularizers are constants. The published code does the same: no network before the classifier, no consistency term,
    weights 0.04 and 0.001, ``top_k`` 5. A consistency term needs a ``reference`` other than the features themselves:
    those of the model before tuning.

    Args:
        in_features: D.
        num_classes: K; 0 or ``None``: no classifier.
        consistency_weight: w_c ≥ 0; of no effect without a ``reference`` of the frozen model.
        covariance_weight, dominant_weight, top_k, reduction, label_smoothing: as in `noisymodel.NMTune`.
        normalize, gather: as in `noisymodel.NMTune`.
        classifier_init, generator: as in `noisymodel.NMTune`.

    Raises:
        ValueError: for arguments out of range.
        TypeError: for arguments of the wrong type.

    Source: the code published with arXiv 2309.17002, in its LoRA and full fine-tuning.

    >>> import torch
    >>> from noisymodel.heads import SpectralProbe
    >>> generator = torch.Generator().manual_seed(0)
    >>> head = SpectralProbe(16, 3, covariance_weight=0.04, dominant_weight=0.001, top_k=5, generator=generator)
    >>> features = torch.randn(8, 16, generator=generator, requires_grad=True)
    >>> terms = head.loss(features, torch.arange(8) % 3)
    >>> terms.total.backward()
    >>> terms.consistency.item(), features.grad is not None
    (0.0, True)
    """

    def __init__(
        self,
        in_features: int,
        num_classes: int | None,
        *,
        normalize: str | None = None,
        consistency_weight: float = CONSISTENCY_WEIGHT,
        covariance_weight: float = COVARIANCE_WEIGHT,
        dominant_weight: float = DOMINANT_WEIGHT,
        top_k: int = TOP_K,
        reduction: str = REDUCTION,
        label_smoothing: float = 0.0,
        gather: bool | ProcessGroup = False,
        classifier_init: str = "linear",
        generator: torch.Generator | None = None,
    ) -> None:
        in_features = check_size(in_features, "in_features")
        if check_integer(top_k, "top_k", minimum=1) > in_features:
            raise ValueError(f"`top_k` must be at most `in_features` = {in_features}, got {top_k}")
        objective = NMTuneLoss(
            consistency_weight=consistency_weight,
            covariance_weight=covariance_weight,
            dominant_weight=dominant_weight,
            top_k=top_k,
            reduction=reduction,
            label_smoothing=label_smoothing,
            gather=gather,
        )
        super().__init__(
            in_features,
            num_classes,
            network=nn.Identity(),
            objective=objective,
            normalize=normalize,
            classifier_init=classifier_init,
            generator=generator,
        )
