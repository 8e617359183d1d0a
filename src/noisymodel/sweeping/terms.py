"""The loss of many heads at once, each with its own weights and label smoothing."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..heads import Head
from ..losses import NMTuneTerms, nmtune_regularization

_WEIGHTS = ("consistency_weight", "covariance_weight", "dominant_weight")


class StackedLoss:
    """The objectives of H heads that agree in ``top_k`` and ``reduction``; terms of shape (H,)."""

    def __init__(self, heads: Sequence[Head], *, regularized: bool, device: torch.device, dtype: torch.dtype) -> None:
        objectives = [head.objective for head in heads]
        self.regularized = regularized
        self.top_k, self.reduction = objectives[0].top_k, objectives[0].reduction
        smoothing = [objective.label_smoothing for objective in objectives]
        self.smoothing = torch.tensor(smoothing, dtype=dtype, device=device)
        weights = [[getattr(objective, name) for objective in objectives] for name in _WEIGHTS]
        self.weights = torch.tensor(weights, dtype=dtype, device=device)

    def __call__(
        self, logits: Tensor, targets: Tensor, tuned: Tensor, reference: Tensor, sample_weight: Tensor | None
    ) -> NMTuneTerms:
        """Of logits (n, H, K) and Z (n, H, D); targets (n, H) or (n, H, K) and F (n, H, D), or without H if shared."""
        task = self._task(logits, targets, sample_weight)
        if not self.regularized:
            zero = torch.zeros_like(task)
            return NMTuneTerms(task, task, zero, zero, zero)
        shared = None if reference.ndim == 2 else 1
        regularize = torch.func.vmap(self._regularization, in_dims=(1, shared, 0, 0, 0))
        terms: NMTuneTerms = regularize(tuned, reference, *self.weights)
        return terms._replace(total=task + terms.total, task=task)

    def _regularization(self, tuned: Tensor, reference: Tensor, *weights: Tensor) -> NMTuneTerms:
        consistency, covariance, dominant = weights
        return nmtune_regularization(
            tuned,
            reference,
            consistency_weight=consistency,  # pyright: ignore[reportArgumentType] # under vmap they may be tensors
            covariance_weight=covariance,  # pyright: ignore[reportArgumentType]
            dominant_weight=dominant,  # pyright: ignore[reportArgumentType]
            top_k=self.top_k,
            reduction=self.reduction,
        )

    def _task(self, logits: Tensor, targets: Tensor, sample_weight: Tensor | None) -> Tensor:
        """Mean cross-entropy (H,); ε of the mass is spread evenly over all K classes."""
        negative = -logits.log_softmax(-1)
        if targets.ndim < (3 if targets.is_floating_point() else 2):
            targets = targets[:, None].expand(*logits.shape[:2], *targets.shape[1:])
        if targets.is_floating_point():
            losses = (negative * targets.to(negative.dtype)).sum(-1)
        else:
            losses = negative.gather(-1, targets[..., None]).squeeze(-1)
        losses = torch.lerp(losses, negative.mean(-1), self.smoothing)
        if sample_weight is not None:
            weights = sample_weight.to(losses.dtype)
            losses = losses * (weights[:, None] if weights.ndim == 1 else weights)
        return losses.mean(0)
