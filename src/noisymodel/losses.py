"""The three regularizers of NMTune, as pure functions of feature matrices.

Statistics are float64 inside and outside autocast, whatever the dtype of the rows, and are made on the CPU where the
device has no float64 (MPS). On a CPU those of large float32 and half-precision batches are float32, with the ends of
the spectrum in float64 where they must be, and so are products of the gradient, where the gradient's relative error,
estimated from the eigenvalues, stays below 2e-5. What is returned is a scalar of float64 for float64 rows and of
float32 otherwise, on the rows' device. Gradients have the rows' dtype and device.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from . import _compiled, _gram
from ._autograd import SpectralTerms, outside_autocast, spectral_gradients
from ._checks import check_choice, check_integer, check_rows
from ._consistency import Consistency, consistency_gradients
from ._gather import batch_sizes, resolve_group
from ._plain import PlainTerms

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup


class NMTuneTerms(NamedTuple):
    """The terms of the NMTune objective, scalars: unweighted, but for ``total``, which carries the weights."""

    total: Tensor
    task: Tensor
    consistency: Tensor
    covariance: Tensor
    dominant: Tensor


def covariance_loss(features: Tensor, *, gather: bool | ProcessGroup = False) -> Tensor:
    """Squared covariances between different features, summed and divided by D.

    L = (1/D) Σ_{i≠j} C_ij² with C = (1/(N−1)) Σ_n (z_n − z̄)(z_n − z̄)ᵀ, in [0, ∞), in the features' units to the 4th.

    Args:
        features: rows, (..., D), N ≥ 2 of them when flattened to (N, D).
        gather: ``False``; ``True`` or a process group: the covariance of all ranks' rows, whose gradient is right
            after the averaging of DDP or FSDP. Ranks may hold different numbers of rows, or none. ``True`` without an
            initialised process group changes nothing. Gradient accumulation does not enlarge the statistic.

    Returns:
        A scalar. NaN for non-finite features.

    Raises:
        ValueError: with fewer than two rows, or without a row dimension.

    Source: arXiv 2309.17002, the covariance regularization L_COV; the unbiased N−1 and the 1/D as there.

    >>> import torch
    >>> covariance_loss(torch.tensor([[0.0, 0.0], [1.0, 1.0]]))
    tensor(0.2500)
    """
    group, sizes = _global_sizes(features, gather)
    return _spectral_terms(features, sizes, group, covariance=True)[0]


def dominant_singular_value_loss(features: Tensor, *, top_k: int = 1, gather: bool | ProcessGroup = False) -> Tensor:
    """Minus the mean share of the ``top_k`` largest singular values.

    L = −(1/k) Σ_{i≤k} σ_i / Σ_j σ_j, in [−1, 0), σ of the **uncentred** matrix. Scale-free. A zero matrix has the
    value 0 and the gradient 0. In directions whose singular value is 0 (to within the precision of the statistics) the
    gradient is 0, the subgradient of smallest norm.

    Args:
        features: rows, (..., D), flattened to (N, D).
        top_k: k, from 1 to min(N, D); the paper has 1, the published code 5.
        gather: as in `covariance_loss`.

    Returns:
        A scalar. NaN for non-finite features.

    Raises:
        ValueError: for ``top_k`` outside [1, min(N, D)], or without a row dimension.

    Source: arXiv 2309.17002, the dominant singular value regularization L_SVD.

    >>> import torch
    >>> dominant_singular_value_loss(torch.diag(torch.tensor([3.0, 1.0])))
    tensor(-0.7500)
    """
    top_k = check_integer(top_k, "top_k", minimum=1)
    group, sizes = _global_sizes(features, gather)
    return _spectral_terms(features, sizes, group, top_k=top_k)[1]


def consistency_loss(
    tuned: Tensor, reference: Tensor, *, reduction: str = "mean", gather: bool | ProcessGroup = False
) -> Tensor:
    """Squared distance between the directions of tuned and reference features.

    ρ_n = ‖z_n/‖z_n‖ − f_n/‖f_n‖‖² = 2 − 2·cos(z_n, f_n). ``"batchmean"``: (1/N) Σ ρ_n, in [0, 4], the paper's formula;
    ``"mean"``: (1/(N·D)) Σ ρ_n, the mean over all elements as in the published code. A zero row counts as the zero
    vector and has no gradient.

    Args:
        tuned: rows Z, (..., D), N ≥ 1 when flattened to (N, D).
        reference: rows F, of the same shape; detach it where it shall get no gradient.
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
    group, sizes = _global_sizes(tuned, gather)
    return _consistency(tuned, reference, reduction, sizes, group)


def nmtune_regularization(
    tuned: Tensor,
    reference: Tensor | None,
    *,
    consistency_weight: float,
    covariance_weight: float,
    dominant_weight: float,
    top_k: int = 1,
    reduction: str = "mean",
    gather: bool | ProcessGroup = False,
) -> NMTuneTerms:
    """All three regularizers; the covariance and the dominant term from one Gram matrix.

    total = consistency_weight · `consistency_loss` + covariance_weight · `covariance_loss` + dominant_weight ·
    `dominant_singular_value_loss`; the other terms are unweighted, and ``task`` is 0.

    Args:
        tuned: rows Z, (..., D), N ≥ 2 when flattened to (N, D).
        reference: rows F of the same shape; ``None`` drops the consistency term, which is 0 then.
        consistency_weight: a number or a scalar tensor, as the next two.
        covariance_weight: see above.
        dominant_weight: see above.
        top_k: as in `dominant_singular_value_loss`.
        reduction: as in `consistency_loss`.
        gather: as in `covariance_loss`, for all three terms.

    Returns:
        `NMTuneTerms` of scalars, NaN where the features are not finite.

    Raises:
        ValueError: as the three functions.

    Source: arXiv 2309.17002, L_NMTune without its task term; the weights there are one λ = 0.01 for all three.

    >>> import torch
    >>> z = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    >>> terms = nmtune_regularization(z, z, consistency_weight=1.0, covariance_weight=2.0, dominant_weight=0.1)
    >>> terms.covariance, terms.dominant, terms.total
    (tensor(0.2500), tensor(-1.), tensor(0.4000))
    """
    group, sizes = _global_sizes(tuned, gather)
    top_k = check_integer(top_k, "top_k", minimum=1)
    check_choice(reduction, "reduction", ("mean", "batchmean"))
    weights = (consistency_weight, covariance_weight, dominant_weight)
    if group is None and not any(isinstance(weight, Tensor) for weight in weights):
        rows = _rows(tuned, "tuned")
        if _gram.is_plain(tuned):
            return _plain_terms(rows, tuned, reference, weights, top_k, reduction)
    covariance, dominant = _spectral_terms(tuned, sizes, group, covariance=True, top_k=top_k, name="tuned")
    consistency = torch.zeros_like(covariance)
    if reference is not None:
        consistency = _consistency(tuned, reference, reduction, sizes, group)
    total = consistency * consistency_weight + covariance * covariance_weight + dominant * dominant_weight
    return NMTuneTerms(total, torch.zeros_like(covariance), consistency, covariance, dominant)


def _global_sizes(features: Tensor, gather: object) -> tuple[ProcessGroup | None, list[int] | None]:
    group = resolve_group(gather)
    return group, None if group is None else batch_sizes(_rows(features, "features"), group)


def _rows(features: Tensor, name: str) -> Tensor:
    """(N, D), on a device that has float64: in float32 a Gram matrix of κ = 100 costs the gradient half a percent."""
    rows = check_rows(features, name)
    rows = rows if rows.ndim == 2 else rows.reshape(-1, rows.shape[-1])
    return rows if _gram.has_float64(rows.device) else rows.cpu()


def _on_device_of(features: Tensor, value: Tensor) -> Tensor:
    return value if _gram.has_float64(features.device) else value.to(features.device)


def _spectral_terms(
    matrix: Tensor,
    sizes: list[int] | None,
    group: ProcessGroup | None,
    *,
    covariance: bool = False,
    top_k: int = 0,
    name: str = "features",
) -> tuple[Tensor, Tensor]:
    rows = _rows(matrix, name)
    _check_spectral(rows.shape[0] if sizes is None else sum(sizes), rows.shape[1], covariance, top_k, name)
    with outside_autocast(rows.device):
        arguments = (covariance, top_k, sizes, group, torch.is_grad_enabled())
        outputs = _compiled.apply(SpectralTerms, spectral_gradients, (rows,), *arguments, values=2)
    return _on_device_of(matrix, outputs[0]), _on_device_of(matrix, outputs[1])


def _check_spectral(count: int, features: int, covariance: bool, top_k: int, name: str) -> None:
    if covariance and count < 2:
        raise ValueError(f"`{name}` must have at least two rows for a covariance, got {count}; drop the last batch?")
    if top_k > min(count, features):
        raise ValueError(
            f"`top_k` must be at most min(N, D) = {min(count, features)} for {count} rows of {features} features, "
            f"got {top_k}"
        )


def _check_shapes(tuned: Tensor, reference: Tensor) -> None:
    if tuned.shape != reference.shape:
        raise ValueError(
            f"`reference` must have the shape of `tuned`, {tuple(tuned.shape)}, got {tuple(reference.shape)}"
        )


def _plain_terms(
    rows: Tensor,
    tuned: Tensor,
    reference: Tensor | None,
    weights: tuple[float, float, float],
    top_k: int,
    reduction: str,
) -> NMTuneTerms:
    _check_spectral(rows.shape[0], rows.shape[1], True, top_k, "tuned")
    others = None
    if reference is not None:
        others = _rows(reference, "reference")
        _check_shapes(tuned, reference)
    scale = 1 / rows.shape[1] if reduction == "mean" else 1.0
    with outside_autocast(rows.device):
        outputs: Any = PlainTerms.apply(rows, others, weights, top_k, scale, torch.is_grad_enabled())
    total, consistency, covariance, dominant = outputs
    return NMTuneTerms(total, torch.zeros_like(covariance), consistency, covariance, dominant)


def _consistency(
    tuned: Tensor, reference: Tensor, reduction: str, sizes: list[int] | None, group: ProcessGroup | None
) -> Tensor:
    check_choice(reduction, "reduction", ("mean", "batchmean"))
    first, second = _rows(tuned, "tuned"), _rows(reference, "reference")
    _check_shapes(tuned, reference)
    if (first.shape[0] if sizes is None else sum(sizes)) == 0:
        raise ValueError(f"`tuned` must have at least one row, got shape {tuple(tuned.shape)}")
    scale = 1 / first.shape[1] if reduction == "mean" else 1.0
    with outside_autocast(first.device):
        outputs = _compiled.apply(Consistency, consistency_gradients, (first, second), scale, sizes, group, values=1)
    return _on_device_of(tuned, outputs[0])
