"""The terms of a batch in training and evaluation loops, and their means over many batches."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor

from ..losses import NMTuneTerms

NAMES = NMTuneTerms._fields[1:]  # without the total, the loss, which every loop logs anyway


def batch_terms(
    head: Any, logits: Tensor, targets: Tensor, tuned: Tensor, reference: Tensor | None, *, training: bool
) -> NMTuneTerms:
    """The terms of a head's outputs for a batch.

    In evaluation the last batch may have too few rows for batch statistics (two rows, or ``top_k``). Then a weighted
    term is NaN, and the ``total`` omits it; `TermMeans` leaves such terms out. In training such a batch is an error, as
    in `NMTuneLoss`.
    """
    objective = head.objective
    left_out: list[str] = []
    if not training and objective.gather is False:
        rows = tuned.numel() // tuned.shape[-1]
        left_out = [name for name, needed in objective.rows_needed().items() if rows < needed]
    if left_out:
        objective = copy.copy(objective)
        for name in left_out:
            setattr(objective, f"{name}_weight", 0.0)
    terms = objective(logits, targets, tuned=tuned, reference=reference)
    return terms._replace(**{name: torch.full_like(terms.task, torch.nan) for name in left_out})


class TermMeans:
    """Running weighted means of the terms, summed on the device without waiting for it."""

    def __init__(self) -> None:
        self._sums: Tensor | None = None

    def update(self, terms: NMTuneTerms, weight: float = 1.0) -> None:
        """Add the terms of a batch. A regularizer that is NaN beside a finite task loss is left out."""
        with torch.no_grad():
            values = torch.stack([term.detach().float() for term in terms[1:]])
            left_out = values.isnan() & values[0].isfinite()
            weights = torch.where(left_out, 0.0, weight)
            new = torch.stack([torch.where(left_out, 0.0, values * weight), weights])
            self._sums = new if self._sums is None else self._sums + new

    def sums(self, device: torch.device) -> Tensor:
        """Return (2, terms), the weighted sums and the weights, to be added over processes; then reset them to zero."""
        sums, self._sums = self._sums, None
        return torch.zeros(2, len(NAMES), dtype=torch.float32, device=device) if sums is None else sums


def means(sums: Tensor) -> dict[str, float]:
    """The means by the terms' names; empty without a batch."""
    total, weight = sums.double().cpu()
    if not bool(weight.any()):
        return {}
    return dict(zip(NAMES, (total / weight).tolist(), strict=True))
