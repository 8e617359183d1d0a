"""Metrics of the eigenvalues λ_i = σ_i² of FᵀF, which some packages call effective rank or RankMe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

import numpy.typing as npt
import torch

from .result import Spectrum
from .singular_values import Array, relative_values, scalar_like


@overload
def eigenvalue_entropy(singular_values: torch.Tensor) -> torch.Tensor: ...
@overload
def eigenvalue_entropy(singular_values: npt.NDArray[Any] | Sequence[float]) -> float: ...
def eigenvalue_entropy(singular_values: Array | Sequence[float]) -> torch.Tensor | float:
    """Eigenvalue entropy: −Σ q_i ln q_i of q_i = σ_i² / Σσ², the von Neumann (or matrix) entropy of FᵀF / tr FᵀF.

    At most the SVE, since squares are less evenly spread. Its exponential is between participation ratio and effective
    rank, and is what several packages return as "RankMe" or "effective rank" (mostly of the **centred** covariance:
    pass the values of ``analyze(features, center="column")``, and add ε to q_i for theirs). Not normalised: divide by
    ln min(N, D) for a share of its maximum. Zero values change nothing.

    Args:
        singular_values: (Q,) non-negative **singular** values, in any order; they are squared here.

    Returns:
        In [0, ln Q]: a float, or for a tensor a scalar of its dtype and device, computed in float64.
        NaN if all values are zero.

    Raises:
        ValueError: empty, not one-dimensional, negative or non-finite values.

    Source: von Neumann 1927; as matrix entropy of features Giraldo, Rao and Principe 2015, with α → 1.

    >>> round(eigenvalue_entropy([4.0, 3.0, 2.0, 1.0]), 9)
    1.078476775
    """
    energy = relative_values(singular_values).square()
    return scalar_like(singular_values, torch.special.entr(energy / energy.flip(0).sum()).sum())


def nesum(spectrum: Spectrum) -> float:
    """NESum: Σλ_i / λ₁ of the covariance's eigenvalues, in [1, rank].

    It is the stable rank of the column-centred features, and whether the covariance is divided by N or N − 1 cancels. A
    package that averages Σλ_i / λ₁ over the eigenvalues divides by D besides.

    Args:
        spectrum: of column-centred features.

    Raises:
        ValueError: the columns were not centred.

    Source: He and Ozay, ICML 2022.

    >>> import numpy as np
    >>> from noisymodel.spectrum import analyze
    >>> round(nesum(analyze(np.diag([4.0, 3.0, 2.0, 1.0]), center="column")), 9)
    1.662633487
    """
    if not isinstance(spectrum, Spectrum):  # pyright: ignore[reportUnnecessaryIsInstance] # callers may err
        raise TypeError(f"`spectrum` must be a Spectrum, got {type(spectrum).__name__}")
    if not spectrum.centered:
        raise ValueError("`spectrum` must be of centred columns, which `analyze(features, center='column')` gives")
    return spectrum.stable_rank
