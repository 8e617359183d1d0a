"""The regularizers of one view or of two views of the samples."""

from __future__ import annotations

import torch
from torch import Tensor

from ..losses import NMTuneTerms, consistency_loss
from ..objective import NMTuneLoss


def objective_terms(
    objective: NMTuneLoss,
    task: Tensor | None,
    tuned: Tensor,
    reference: Tensor | None,
    other: Tensor | None = None,
) -> NMTuneTerms:
    """The terms of a task loss, of rows Z (n, D) and of the reference features for the consistency term.

    ``other`` are the rows Z of a second view. With them, the covariance and dominant terms use the 2n rows of both
    views, and the consistency term compares only ``tuned`` with ``reference``, as in the published code.
    """
    if other is None:
        terms = objective.regularization(tuned, reference)
    else:
        terms = objective.regularization(torch.cat([other, tuned]), None)
        if reference is not None and objective.consistency_weight:
            consistency = consistency_loss(tuned, reference, reduction=objective.reduction, gather=objective.gather)
            total = terms.total + objective.consistency_weight * consistency
            terms = terms._replace(total=total, consistency=consistency)
    return terms if task is None else terms._replace(total=task + terms.total, task=task)
