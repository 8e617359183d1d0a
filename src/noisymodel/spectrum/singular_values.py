"""Metrics of singular values: functions of how they are spread, whatever their scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias, overload

import numpy as np
import numpy.typing as npt
import torch

from .._checks import check_array

Array: TypeAlias = npt.NDArray[Any] | torch.Tensor


@overload
def singular_value_entropy(singular_values: torch.Tensor) -> torch.Tensor: ...
@overload
def singular_value_entropy(singular_values: npt.NDArray[Any] | Sequence[float]) -> float: ...
def singular_value_entropy(singular_values: Array | Sequence[float]) -> torch.Tensor | float:
    """Singular value entropy (SVE): H = −Σ p_i ln p_i of p_i = σ_i / Σσ.

    Of the **singular values**, not of the eigenvalues σ² (that is the von Neumann or matrix entropy: pass ``s**2``).
    Not normalised: divide by ln Q for a share of its maximum. Zero values change nothing.

    Args:
        singular_values: (Q,) non-negative, in any order; a torch tensor, a numpy array or a list.

    Returns:
        In [0, ln Q]: a float, or for a tensor a scalar of its dtype and device, computed in float64.
        NaN if all values are zero (0/0: it has no entropy).

    Raises:
        ValueError: empty, not one-dimensional, negative or non-finite values.

    Source: arXiv 2309.17002 and 2403.06869, definition of SVE.

    >>> round(singular_value_entropy([4.0, 3.0, 2.0, 1.0]), 9)
    1.279854226
    """
    share = shares(singular_values)
    return scalar_like(singular_values, torch.special.entr(share).sum())


@overload
def largest_singular_value_ratio(singular_values: torch.Tensor) -> torch.Tensor: ...
@overload
def largest_singular_value_ratio(singular_values: npt.NDArray[Any] | Sequence[float]) -> float: ...
def largest_singular_value_ratio(singular_values: Array | Sequence[float]) -> torch.Tensor | float:
    """Largest singular value ratio (LSVR): −ln(σ₁ / Σσ) = ln(1 + Σ_{i≥2} σ_i / σ₁).

    Large where **no** direction dominates, 0 where one is all there is. Computed in the second form, which keeps its
    relative accuracy where σ₁ dominates. The share itself, σ₁/Σσ, is exp(−LSVR); the training loss of the published
    code is another thing (:func:`noisymodel.losses.dominant_singular_value_loss`).

    Args:
        singular_values: (Q,) non-negative, in any order; a torch tensor, a numpy array or a list.

    Returns:
        In [0, ln Q], at most the SVE: a float, or for a tensor a scalar of its dtype and device, computed in float64.
        NaN if all values are zero.

    Raises:
        ValueError: empty, not one-dimensional, negative or non-finite values.

    Source: arXiv 2309.17002 and 2403.06869, definition of LSVR.

    >>> round(largest_singular_value_ratio([4.0, 3.0, 2.0, 1.0]), 9)
    0.916290732
    """
    relative = relative_values(singular_values)
    ratio = torch.log1p(relative[1:].flip(0).sum())
    return scalar_like(singular_values, ratio * relative[0])  # relative[0] is 1, or NaN for a zero spectrum


@overload
def effective_rank(singular_values: torch.Tensor) -> torch.Tensor: ...
@overload
def effective_rank(singular_values: npt.NDArray[Any] | Sequence[float]) -> float: ...
def effective_rank(singular_values: Array | Sequence[float]) -> torch.Tensor | float:
    """Effective rank: exp(SVE), the exponential of the entropy of p_i = σ_i / Σσ.

    This is Roy and Vetterli's. RankMe adds ε to each p_i without renormalising (:meth:`Spectrum.rankme`); packages
    that take the entropy of eigenvalues give ``effective_rank(s**2)``.

    Args:
        singular_values: (Q,) non-negative, in any order; a torch tensor, a numpy array or a list.

    Returns:
        In [1, Q]: a float, or for a tensor a scalar of its dtype and device, computed in float64.
        NaN if all values are zero.

    Raises:
        ValueError: empty, not one-dimensional, negative or non-finite values.

    Source: Roy and Vetterli, "The effective rank", EUSIPCO 2007.

    >>> round(effective_rank([4.0, 3.0, 2.0, 1.0]), 9)
    3.596115467
    """
    share = shares(singular_values)
    return scalar_like(singular_values, torch.special.entr(share).sum().exp())


def relative_values(singular_values: object) -> torch.Tensor:
    """σ / σ₁, descending, in float64; NaN for a zero spectrum. Every metric here is a function of it."""
    values = sorted_values(singular_values)
    return values / values[0]


def sorted_values(singular_values: object) -> torch.Tensor:
    """σ, checked, descending, in float64 on the CPU."""
    kinds = "f" if isinstance(singular_values, torch.Tensor) else "iuf"
    given = check_array(singular_values, "singular_values", kinds=kinds, detach=False)
    if isinstance(given, torch.Tensor):
        values = given.to("cpu").to(torch.float64)
    else:
        values = torch.from_numpy(np.array(given, dtype=np.float64))
    if values.ndim != 1 or len(values) == 0:
        raise ValueError(f"`singular_values` must have shape (Q,) with Q >= 1, got {tuple(values.shape)}")
    if not bool(((values >= 0) & torch.isfinite(values)).all()):
        raise ValueError("`singular_values` must be finite and not negative")
    return values.sort(descending=True).values


def shares(singular_values: object) -> torch.Tensor:
    """p_i = σ_i / Σσ, descending, in float64."""
    relative = relative_values(singular_values)
    return relative / relative.flip(0).sum()


def scalar_like(singular_values: object, value: torch.Tensor) -> Any:
    """The value as the caller's kind: a float, or a scalar of the tensor's dtype and device."""
    if isinstance(singular_values, torch.Tensor):
        return value.to(singular_values.dtype).to(singular_values.device)
    return float(value)
