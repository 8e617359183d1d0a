"""The objective of rows and of pairs of views: what is ignored, what is drawn, what is compared with what."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from .._gather import resolve_group
from ..losses import NMTuneTerms, consistency_loss
from ..objective import NMTuneLoss, check_targets, task_loss

_IGNORED = -100  # what torch's own cross-entropy ignores


def labelled_loss(objective: NMTuneLoss, logits: Tensor, targets: Tensor, ignore_index: int) -> Tensor:
    """Mean cross-entropy over the rows (R, K) whose class id is not ``ignore_index``; 0 where there is none."""
    smoothing, gather = objective.label_smoothing, objective.gather
    if targets.is_floating_point():
        return task_loss(logits, targets, label_smoothing=smoothing, gather=gather)
    check_targets(logits, targets)
    labelled = targets != ignore_index
    if resolve_group(gather) is not None:
        return task_loss(logits[labelled], targets[labelled], label_smoothing=smoothing, gather=gather)
    rows = logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
    ids = torch.where(labelled, targets.long(), _IGNORED)
    total = functional.cross_entropy(rows, ids, ignore_index=_IGNORED, label_smoothing=smoothing, reduction="sum")
    return total / labelled.sum().clamp_min(1)


def objective_terms(
    objective: NMTuneLoss,
    task: Tensor | None,
    tuned: Tensor,
    reference: Tensor | None,
    other: Tensor | None = None,
) -> NMTuneTerms:
    """The terms of a task loss, of rows Z (n, D) and what they are compared with.

    With ``other``, the rows Z of a second view, covariance and dominant term are those of both views' 2n rows, and the
    consistency term compares ``tuned`` alone with ``reference``: the form of the published code.
    """
    if other is None:
        terms = objective.regularization(tuned, reference)
    else:
        terms = objective.regularization(torch.cat([other, tuned]), None)
        if reference is not None:
            consistency = consistency_loss(tuned, reference, reduction=objective.reduction, gather=objective.gather)
            total = terms.total + objective.consistency_weight * consistency
            terms = terms._replace(total=total, consistency=consistency)
    return terms if task is None else terms._replace(total=task + terms.total, task=task)
