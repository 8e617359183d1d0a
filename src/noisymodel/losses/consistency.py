"""The consistency term: how far tuned rows have turned from the reference rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .._checks import check_choice
from .._gather import global_mean
from .batch import Batch, as_term, flat_rows, global_batch, smallest_length

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

REDUCTIONS = ("mean", "batchmean")


def consistency_loss(
    tuned: Tensor, reference: Tensor, *, reduction: str = "mean", gather: bool | ProcessGroup = False
) -> Tensor:
    """Squared distance between the directions of tuned and reference features.

    ρ_n = ‖z_n/‖z_n‖ − f_n/‖f_n‖‖² = 2 − 2·cos(z_n, f_n). ``"batchmean"``: (1/N) Σ ρ_n, in [0, 4], the paper's formula;
    ``"mean"``: (1/(N·D)) Σ ρ_n, the mean over all elements as in the published code. A zero row counts as the zero
    vector and has no gradient.

    Args:
        tuned: rows Z, (..., D), N ≥ 1 when flattened to (N, D).
        reference: rows F, of the same shape; detach it if it should get no gradient.
        reduction: ``"mean"`` or ``"batchmean"``.
        gather: as in `covariance_loss`: the mean is over the rows of all ranks.

    Returns:
        A scalar. NaN for non-finite features.

    Raises:
        ValueError: for different shapes, no rows, or an unknown reduction.

    Source: arXiv 2309.17002, the consistency regularization L_MSE.

    >>> import torch
    >>> z, f = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    >>> consistency_loss(z, f), consistency_loss(z, f, reduction="batchmean")
    (tensor(1.), tensor(2.))
    """
    check_choice(reduction, "reduction", REDUCTIONS)
    check_same_shape(tuned, reference)
    return as_term(consistency_term(global_batch(tuned, "tuned", gather), reference, reduction), tuned)


def consistency_term(batch: Batch, reference: Tensor, reduction: str) -> Tensor:
    """The term of a batch of tuned rows, in float64."""
    if batch.num_rows == 0:
        raise ValueError(f"`tuned` must have at least one row, got shape {tuple(batch.rows.shape)}")
    difference = _directions(batch.rows) - _directions(flat_rows(reference, "reference"))
    mean = global_mean(difference.square().sum(1), batch.group)
    return mean / batch.rows.shape[1] if reduction == "mean" else mean


def check_same_shape(tuned: Tensor, reference: Tensor) -> None:
    """Tuned and reference rows belong together."""
    flat_rows(tuned, "tuned")
    flat_rows(reference, "reference")
    if tuned.shape != reference.shape:
        raise ValueError(
            f"`reference` must have the shape of `tuned`, {tuple(tuned.shape)}, got {tuple(reference.shape)}"
        )


def _directions(rows: Tensor) -> Tensor:
    """z/‖z‖ in float64, 0 for a zero row; a length below `smallest_length` counts as that."""
    wide = rows.double()
    lengths = torch.linalg.vector_norm(wide, dim=1, keepdim=True)
    return wide / torch.where(lengths > 0, lengths.clamp_min(smallest_length(rows.dtype)), torch.inf)
