"""Heads of one architecture as one batched model: `torch.func` over their stacked weights."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional

from ..heads import Head
from ..losses.regularization import WEIGHTS, NMTuneTerms, nmtune_regularization, task_alone
from ..objective import IGNORED, ScaleCheck


class Stacked(NamedTuple):
    """The outputs of the heads: logits (H, n, K), Z (H, n, D), and normalised features F (n, D) or (H, n, D)."""

    logits: Tensor
    tuned: Tensor
    rows: Tensor


class StackedHeads:
    """Parameters and buffers of H heads, each of shape (H, ...), and their forward pass in training mode.

    Each head has its own weights and batch statistics. All other settings are those of the first head.
    """

    def __init__(self, heads: Sequence[Head]) -> None:
        self.count = len(heads)
        for head in heads:
            head.train()
        self.parameters, self.buffers = stack_module_state(list(heads))
        self.normalized = heads[0].normalized
        self._template = copy.deepcopy(heads[0]).to("meta")
        self._template.normalize = None  # done once for all heads

    def forward(self, features: Tensor, drawn: Mapping[str, Tensor]) -> Stacked:
        """Compute the outputs for features (n, D), shared by all heads, or (H, n, D).

        ``drawn`` has the random numbers (H, n, width) by the names of the layers.
        """
        rows = self.normalized(features)
        each = vmap(self._one, in_dims=(0, 0, 0, 0 if rows.ndim == 3 else None))
        logits, tuned = each(self.parameters, self.buffers, dict(drawn), rows)
        return Stacked(logits, tuned, rows)

    def _one(self, parameters: Any, buffers: Any, drawn: Any, rows: Tensor) -> tuple[Tensor, Tensor]:
        output: Any = functional_call(
            self._template, (parameters, {**buffers, **drawn}), (rows,), {"return_features": True}
        )
        return output.logits, output.tuned

    def state(self, index: int) -> dict[str, Tensor]:
        """A copy of the parameters and buffers of one head."""
        return {name: value.detach()[index].clone() for name, value in (self.parameters | self.buffers).items()}


class StackedLoss:
    """The objectives of H heads that have the same terms, ``top_k`` and ``reduction``; terms of shape (H,)."""

    def __init__(self, heads: Sequence[Head], *, device: torch.device, dtype: torch.dtype) -> None:
        objectives = [head.objective for head in heads]
        first = objectives[0]
        self.options: dict[str, Any] = {"top_k": first.top_k, "reduction": first.reduction}
        self.options.update({name: float(getattr(first, name) > 0) for name in WEIGHTS})
        self.regularized = heads[0].regularized
        self.scale_check = ScaleCheck()
        like: dict[str, Any] = {"dtype": dtype, "device": device}
        smoothing = [objective.label_smoothing for objective in objectives]
        self.smoothing = torch.tensor(smoothing, **like)[:, None] if any(smoothing) else None
        self.weights = [torch.tensor([getattr(one, name) for one in objectives], **like) for name in WEIGHTS]

    def __call__(self, stacked: Stacked, targets: Tensor, sample_weight: Tensor | None) -> NMTuneTerms:
        """Compute the terms for targets (n,) or (n, K), shared by all heads, or (H, n) or (H, n, K).

        The sample weights are (n,) or (H, n).
        """
        task = self._task(stacked.logits, targets, sample_weight)
        if not self.regularized:
            return task_alone(task)
        shared = 0 if stacked.rows.ndim == 3 else None
        terms = vmap(self._regularization, in_dims=(0, shared))(stacked.tuned, stacked.rows)
        weighted = [weight * term for weight, term in zip(self.weights, terms, strict=True)]
        self._check_scale(task, weighted)
        return NMTuneTerms(sum(weighted, task), task, *terms)

    def _check_scale(self, task: Tensor, weighted: list[Tensor]) -> None:
        """Warn once as a single head does, about the head whose weighted terms most exceed its task loss."""
        if self.scale_check.is_over:
            return
        values = torch.stack([task, task, *weighted]).detach()
        worst = (values[2:].abs().amax(0) / values[0].clamp_min(1)).argmax()
        self.scale_check(NMTuneTerms(*values.index_select(1, worst[None])[:, 0]), (1.0,) * len(WEIGHTS))

    def _regularization(self, tuned: Tensor, rows: Tensor) -> tuple[Tensor, ...]:
        return nmtune_regularization(tuned, rows, **self.options)[2:]

    def _task(self, logits: Tensor, targets: Tensor, sample_weight: Tensor | None) -> Tensor:
        """Mean cross-entropy (H,) over the rows that have a class; ε of the mass is spread evenly over all classes."""
        shape = logits.shape if targets.is_floating_point() else logits.shape[:2]
        targets = targets.expand(shape).flatten(0, 1)
        rows = logits.flatten(0, 1)
        targets = targets.to(rows.dtype) if targets.is_floating_point() else targets
        losses = functional.cross_entropy(rows, targets, ignore_index=IGNORED, reduction="none").view(logits.shape[:2])
        counted = torch.ones_like(losses)
        if not targets.is_floating_point():
            counted = (targets != IGNORED).view(losses.shape).to(losses.dtype)
        if self.smoothing is not None:
            losses = torch.lerp(losses, -logits.log_softmax(-1).mean(-1) * counted, self.smoothing)
        if sample_weight is not None:
            losses = losses * sample_weight.to(losses.dtype)
        return losses.sum(1) / counted.sum(1).clamp_min(1)
