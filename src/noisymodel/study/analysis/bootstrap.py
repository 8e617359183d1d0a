"""Correlations over the networks of a group with intervals from a bootstrap over seeds."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from .intervals import Estimate

RESAMPLES = 2000
FEWEST_SEEDS = 3
"""With fewer seeds there are no intervals."""
_UNDEFINED = 0.05
"""If a larger share of the resamples has no correlation, there is no interval either."""

Values = NDArray[np.float64]


def resampled_seeds(seeds: int, *, seed: int, resamples: int = RESAMPLES) -> NDArray[np.int64]:
    """The seeds in each resample, ``(1 + resamples, seeds)``: row 0 is the sample itself, the other rows are drawn."""
    drawn = np.random.default_rng(seed).integers(0, seeds, size=(resamples, seeds))
    return np.concatenate([np.arange(seeds)[None], drawn])


def scores(values: Values, resamples: NDArray[np.int64], *, rates_too: bool, ranks: bool) -> Values:
    """Residuals of a variable in each resample, as unit vectors ``(1 + B, seeds · rates)``; NaN for zero residuals.

    The mean over the rates is subtracted within each seed. With ``rates_too`` the mean over the seeds of the resample
    is then subtracted at each rate. With ``ranks`` the residuals are replaced by their ranks, ties by their mean rank.
    The scalar product of two such vectors is Pearson's (of ranks: Spearman's) correlation.

    Args:
        values: ``(seeds, rates)``.
        resamples: from `resampled_seeds`.
        rates_too: whether to subtract the mean of all networks of one rate, too.
        ranks: whether to correlate ranks.
    """
    within = values - values.mean(axis=1, keepdims=True)
    drawn = within[resamples]
    if rates_too:
        drawn = drawn - drawn.mean(axis=1, keepdims=True)
    flat = drawn.reshape(len(resamples), -1)
    scale = np.abs(values).max(initial=0.0)
    flat = np.where(np.abs(flat) <= 1e-12 * scale, 0.0, flat)  # differences from rounding become zero
    if ranks:
        flat = rankdata(flat, axis=1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.divide(flat, length, out=np.full_like(flat, np.nan), where=length > 1e-12 * scale)


def estimate(left: Values, right: Values, seeds: int) -> Estimate:
    """The correlation of two variables' `scores`, with the 2.5th and 97.5th percentile over the resamples."""
    found = np.clip(np.einsum("bn,bn->b", left, right), -1, 1)
    value, drawn = float(found[0]), found[1:][~np.isnan(found[1:])]
    undefined = 1 - len(drawn) / max(1, len(found) - 1)
    if math.isnan(value) or seeds < FEWEST_SEEDS or undefined > _UNDEFINED:
        return Estimate(value, math.nan, math.nan)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Estimate(value, float(low), float(high))
