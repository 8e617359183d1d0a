"""Heads of one architecture as one batched model: `torch.func` over their stacked weights."""

from __future__ import annotations

import copy
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional

from ..heads import Head
from ..heads.randomness import draws_by_itself
from ..losses.regularization import WEIGHTS, NMTuneTerms, nmtune_regularization, task_alone
from ..objective import IGNORED, NMTuneLoss, ScaleCheck
from ..training.feeding import Batch

_OF_EACH = frozenset({*WEIGHTS, "label_smoothing", "classifier_init"})  # may differ between stacked heads


class StackedHeads:
    """H heads of one kind: parameters and buffers of shape (H, ...), and their training loss.

    Each head has its own weights, batch statistics, label smoothing and loss weights. All other settings are those of
    the first head.
    """

    def __init__(self, heads: Sequence[Head], *, device: torch.device, dtype: torch.dtype) -> None:
        self.count = len(heads)
        for head in heads:
            head.train()
        self.parameters, self.buffers = stack_module_state(list(heads))
        self._normalized = heads[0].normalized
        self._template = copy.deepcopy(heads[0]).to("meta")
        self._template.normalize = None  # done once for all heads
        objectives = [head.objective for head in heads]
        first = objectives[0]
        self._regularized = first.regularized
        self._options: dict[str, Any] = {"top_k": first.top_k, "reduction": first.reduction}
        self._options.update({name: float(getattr(first, name) > 0) for name in WEIGHTS})
        like: dict[str, Any] = {"dtype": dtype, "device": device}
        smoothing = [objective.label_smoothing for objective in objectives]
        self._smoothing = torch.tensor(smoothing, **like)[:, None] if any(smoothing) else None
        self._weights = [torch.tensor([getattr(one, name) for one in objectives], **like) for name in WEIGHTS]
        self._scale_check = ScaleCheck()

    def state(self, index: int) -> dict[str, Tensor]:
        """A copy of the parameters and buffers of one head."""
        return {name: value.detach()[index].clone() for name, value in (self.parameters | self.buffers).items()}

    def loss(self, batch: Batch, drawn: Mapping[str, Tensor]) -> NMTuneTerms:
        """The terms (H,) of a batch that all heads share, or that has a leading axis H.

        ``drawn`` has the random numbers (H, n, width) by the names of the layers.
        """
        rows = self._normalized(batch.features)
        shared = 0 if rows.ndim == 3 else None
        each = vmap(self._outputs, in_dims=(0, 0, 0, shared))
        logits, tuned = each(self.parameters, self.buffers, dict(drawn), rows)
        task = self._task(logits, batch.targets, batch.weights)
        if not self._regularized:
            return task_alone(task)
        terms = vmap(self._regularization, in_dims=(0, shared))(tuned, rows)
        weighted = [weight * term for weight, term in zip(self._weights, terms, strict=True)]
        self._check_scale(task, weighted)
        return NMTuneTerms(sum(weighted, task), task, *terms)

    def _outputs(self, parameters: Any, buffers: Any, drawn: Any, rows: Tensor) -> tuple[Tensor, Tensor]:
        state = parameters, {**buffers, **drawn}
        output: Any = functional_call(self._template, state, (rows,), {"return_features": True})
        return output.logits, output.tuned

    def _check_scale(self, task: Tensor, weighted: list[Tensor]) -> None:
        """Warn once as a single head does, about the head whose weighted terms most exceed its task loss."""
        if self._scale_check.is_over:
            return
        values = torch.stack([task, task, *weighted]).detach()
        worst = (values[2:].abs().amax(0) / values[0].clamp_min(1)).argmax()
        self._scale_check(NMTuneTerms(*values.index_select(1, worst[None])[:, 0]), (1.0,) * len(WEIGHTS))

    def _regularization(self, tuned: Tensor, rows: Tensor) -> tuple[Tensor, ...]:
        return nmtune_regularization(tuned, rows, **self._options)[2:]

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
        if self._smoothing is not None:
            losses = torch.lerp(losses, -logits.log_softmax(-1).mean(-1) * counted, self._smoothing)
        if sample_weight is not None:
            losses = losses * sample_weight.to(losses.dtype)
        return losses.sum(1) / counted.sum(1).clamp_min(1)


def kind_of(head: Head) -> Hashable:
    """The properties that heads must share to be one batched model; ``head`` may be without weights.

    These are all settings except label smoothing and the loss weights (but which loss weights are zero counts), the
    shapes of the parts, and which parameters are trained.
    """
    settings = {name: value for name, value in head.config().items() if name not in _OF_EACH}
    if not head.objective.dominant_weight:
        settings.pop("top_k", None)
    if not head.objective.consistency_weight:
        settings.pop("reduction", None)
    terms = tuple(map(bool, head.objective.weights().values()))
    parts = tuple((name, tuple(value.shape), value.requires_grad) for name, value in head.named_parameters())
    modules = tuple((name, type(module)) for name, module in head.named_modules())
    return type(head), tuple(settings.items()), terms, parts, modules


def can_be_stacked(heads: Sequence[Head]) -> bool:
    """Whether the heads are of one kind, and none overrides the computations of `Head`."""
    first = heads[0]
    plain = all(getattr(type(first), name) is getattr(Head, name) for name in ("loss", "tune", "forward"))
    plain = plain and type(first.objective) is NMTuneLoss and first.objective.gather is False
    return plain and not draws_by_itself(first) and len({kind_of(head) for head in heads}) == 1
