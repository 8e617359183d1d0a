"""All three regularizers, weighted: what a training step adds to its task loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from .._checks import check_choice, check_integer, check_number
from .batch import as_term, global_batch
from .consistency import REDUCTIONS, check_same_shape, consistency_term
from .spectral import spectral_terms

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup


class NMTuneTerms(NamedTuple):
    """The terms of the NMTune objective, scalars: unweighted, but for ``total``, which carries the weights."""

    total: Tensor
    task: Tensor
    consistency: Tensor
    covariance: Tensor
    dominant: Tensor


REGULARIZERS = NMTuneTerms._fields[2:]
"""The names of the regularizers: of each an `NMTuneTerms` holds the value, and ``NAME_weight`` is the weight."""
WEIGHTS = tuple(f"{name}_weight" for name in REGULARIZERS)
"""The names of the weights, in the regularizers' order."""


def task_alone(task: Tensor) -> NMTuneTerms:
    """The terms of an objective without regularizers."""
    return NMTuneTerms(task, task, *[torch.zeros_like(task)] * len(REGULARIZERS))


def nmtune_regularization(
    tuned: Tensor,
    reference: Tensor | None,
    *,
    consistency_weight: float | Tensor,
    covariance_weight: float | Tensor,
    dominant_weight: float | Tensor,
    top_k: int = 1,
    reduction: str = "mean",
    gather: bool | ProcessGroup = False,
) -> NMTuneTerms:
    """All three regularizers; the covariance and the dominant term from one Gram matrix.

    total = consistency_weight · `consistency_loss` + covariance_weight · `covariance_loss` + dominant_weight ·
    `dominant_singular_value_loss`; the other terms are unweighted, and ``task`` is 0. A term with the weight 0 (a
    number) is 0 and not computed, whatever the features are. With tensors as weights every term is computed.

    Args:
        tuned: rows Z, (..., D), N ≥ 2 with a covariance term, when flattened to (N, D).
        reference: rows F of the same shape; ``None`` drops the consistency term, which is 0 then.
        consistency_weight: a finite number ≥ 0, or a scalar tensor, whose value is not checked; as the next two.
        covariance_weight: see above.
        dominant_weight: see above.
        top_k: as in `dominant_singular_value_loss`.
        reduction: as in `consistency_loss`.
        gather: as in `covariance_loss`, for all three terms.

    Returns:
        `NMTuneTerms` of scalars, NaN where the features are not finite.

    Raises:
        ValueError: as the functions of the computed terms, and for weights that are negative or not finite.
        TypeError: for weights that are not numbers.

    Source: arXiv 2309.17002, L_NMTune without its task term; the weights there are one λ = 0.01 for all three.

    >>> import torch
    >>> z = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    >>> terms = nmtune_regularization(z, z, consistency_weight=1.0, covariance_weight=2.0, dominant_weight=0.1)
    >>> terms.covariance, terms.dominant, terms.total
    (tensor(0.2500), tensor(-1.), tensor(0.4000))
    """
    weights = [
        check_weight(consistency_weight, "consistency_weight"),
        check_weight(covariance_weight, "covariance_weight"),
        check_weight(dominant_weight, "dominant_weight"),
    ]
    top_k = check_integer(top_k, "top_k", minimum=1)
    check_choice(reduction, "reduction", REDUCTIONS)
    asked = [isinstance(weight, Tensor) or weight != 0 for weight in weights]
    batch = global_batch(tuned, "tuned", gather)
    zero = consistency = batch.rows.new_zeros((), dtype=torch.float64)
    if reference is not None:
        check_same_shape(tuned, reference)
        consistency = consistency_term(batch, reference, reduction) if asked[0] else zero
    covariance, dominant = spectral_terms(batch, "tuned", covariance=asked[1], top_k=top_k if asked[2] else 0)
    terms = consistency, covariance, dominant
    total = sum((term * weight for term, weight, wanted in zip(terms, weights, asked, strict=True) if wanted), zero)
    return NMTuneTerms(*(as_term(value, tuned) for value in (total, zero, *terms)))


def check_weight(weight: object, name: str) -> float | Tensor:
    """A finite number ≥ 0, or a scalar tensor of numbers, whose value is not looked at: a GPU would be waited for."""
    if isinstance(weight, float) and torch.compiler.is_compiling():
        return weight  # may be a symbol, whose value a compiler cannot tell
    if not isinstance(weight, Tensor):
        return check_number(weight, name, minimum=0)
    if weight.ndim != 0 or weight.dtype == torch.bool or weight.is_complex():
        raise TypeError(
            f"`{name}` must be a number or a scalar tensor, got shape {tuple(weight.shape)}, {weight.dtype}"
        )
    return weight
