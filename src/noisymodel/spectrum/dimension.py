"""The intrinsic dimension of features, from the distances to the two nearest neighbours."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from .._checks import check_choice, check_number
from .analysis import read_matrix
from .singular_values import Array

_ENTRIES = 1 << 22  # of a block of distances: 32 MiB
_CANDIDATES = 8  # neighbours whose distances are taken anew: those of the matrix product are rounded


def intrinsic_dimension(
    features: Array, *, method: Literal["fit", "likelihood"] = "fit", discard: float = 0.1
) -> float:
    """TwoNN: the dimension d of the manifold that the rows lie on, from μ = r₂/r₁ of each row's two nearest neighbours.

    Where the density is constant over such distances, ln μ is exponential with rate d. Of the N ratios in ascending
    order the largest ``discard``·N are left out, k = ⌊(1 − discard)·N⌋ (N − 1 at most for the fit) remain, and

    - ``"fit"``: d is the slope, through the origin, of −ln(1 − i/N) over ln μ_(i), i = 1…k: the paper's.
    - ``"likelihood"``: d = (k − 1) / (Σ_{i≤k} ln μ_(i) + (N − k)·ln μ_(k)), unbiased for independent ratios; with
      ``discard=0`` the usual (N − 1)/Σ ln μ.

    Distances are Euclidean, in float64. Every row counts once: a copy has distance 0 to its original, and would make
    both neighbours of a third row the same. It is a local, nonlinear dimension, invariant to rotation, shift and scale
    but not to whitening. High dimensions come out too small (5,000 Gaussian rows: 9.9 for 10, 16 for 20, 21 for 30),
    and noise counts as dimensions at the scale of nearest neighbours. Time O(N²·D), memory O(N·D + 32 MiB): of more
    than some 20,000 rows take a random part.

    Args:
        features: (N, D) finite, of any floating dtype. Never mutated.
        method: see above.
        discard: the share of the largest ratios that is left out, in [0, 1).

    Returns:
        A float; inf (or, by rounding, huge) where all rows have two neighbours at the same distance, as on a lattice.

    Raises:
        TypeError: features that are not a floating array.
        ValueError: wrong shape, NaN or infinity, fewer than three different rows or two remaining ratios.

    Source: Facco, d'Errico, Rodriguez and Laio 2017 (arXiv 1803.06992); the likelihood as in Denti et al. 2022,
    censored at the discarded ratios.

    >>> import numpy as np
    >>> from noisymodel.spectrum import intrinsic_dimension
    >>> random = np.random.default_rng(0)
    >>> plane = random.uniform(size=(1000, 2)) @ random.normal(size=(2, 30))
    >>> round(intrinsic_dimension(plane))
    2
    """
    check_choice(method, "method", ("fit", "likelihood"))
    discard = check_number(discard, "discard", minimum=0.0)
    if discard >= 1:
        raise ValueError(f"`discard` must be in [0, 1), got {discard}")
    rows = read_matrix(features, "features")
    rows = rows - rows.mean(dim=0)
    rows = torch.unique(rows / rows.abs().max().clamp_min(torch.finfo(torch.float64).tiny), dim=0)
    if len(rows) < 3:
        raise ValueError(f"`features` must have at least 3 different rows, got {len(rows)}")
    first, second = _two_distances(rows).unbind(dim=1)
    ratios = (second / first).log().sort().values
    total, kept = len(ratios), math.floor((1 - discard) * len(ratios))
    kept = min(kept, total - 1) if method == "fit" else kept
    if kept < 2:
        raise ValueError(f"`discard` must leave at least 2 of the {total} ratios, got {discard} which leaves {kept}")
    ratios = ratios[:kept]
    if not ratios[-1] > 0:
        return math.inf
    if method == "likelihood":
        return float((kept - 1) / (ratios.sum() + (total - kept) * ratios[-1]))
    heights = -torch.log1p(-torch.arange(1, kept + 1, dtype=torch.float64, device=ratios.device) / total)
    return float(ratios @ heights / (ratios @ ratios))


def _two_distances(rows: Tensor) -> Tensor:
    """(N, 2) the distances of each row to its two nearest others."""
    squares = rows.square().sum(dim=1)
    step = max(1, _ENTRIES // max(len(rows), _CANDIDATES * rows.shape[1]))
    found: list[Tensor] = []
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        distances = torch.addmm(squares, part, rows.T, alpha=-2)  # less the row's own square, which orders nothing
        distances.diagonal(start).fill_(math.inf)
        near = distances.topk(min(_CANDIDATES, len(rows) - 1), largest=False).indices
        exact = torch.linalg.vector_norm(rows[near] - part[:, None], dim=2)
        found.append(exact.topk(2, largest=False, sorted=True).values)
    return torch.cat(found)
