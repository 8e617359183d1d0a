"""Intervals of means and paired differences over seeds, Holm's correction, and standardized effects."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import nctdtrinc, stdtr, stdtrit

_ROUNDING = 1e-12
"""The rounding error of values of order one."""


@dataclass(frozen=True)
class Interval:
    """A mean over seeds with its t-interval."""

    mean: float
    low: float
    high: float
    count: int
    p_value: float
    """The two-sided p-value of the hypothesis that the mean is zero."""

    @property
    def excludes_zero(self) -> bool:
        """Whether zero lies outside the interval; False without bounds, or without a spread of the values."""
        return self.low < self.high and (self.low > 0 or self.high < 0)


class Estimate(NamedTuple):
    """A correlation or a standardized difference with its 95 % interval; NaN if undefined."""

    value: float
    low: float
    high: float


def mean_interval(values: ArrayLike) -> Interval:
    """The mean of ``values`` (n,) with Student's t-interval at 95 %: mean ± t(n−1, 0.975) · s/√n, s with n−1.

    One value has a mean and no bounds: ``low``, ``high`` and ``p_value`` are NaN. Equal values (up to rounding) have an
    interval of width 0 and say nothing about their spread: ``p_value`` is 1 if they are zero and NaN otherwise, and
    zero does not count as excluded. NaN among the values gives NaN.

    Raises:
        ValueError: if ``values`` is not one-dimensional or empty.

    >>> interval = mean_interval([1.0, 2.0, 3.0])
    >>> f"{interval.mean:.1f} [{interval.low:.2f}, {interval.high:.2f}] p={interval.p_value:.3f}"
    '2.0 [-0.48, 4.48] p=0.074'
    >>> mean_interval([0.5]).mean, mean_interval([0.5]).low
    (0.5, nan)
    """
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or sample.size == 0:
        raise ValueError(f"`values` must have shape (n,) with n of at least 1, got {sample.shape}")
    mean = float(sample.mean())
    if sample.size == 1:
        return Interval(mean, math.nan, math.nan, 1, math.nan)
    freedom = sample.size - 1
    error = float(sample.std(ddof=1)) / math.sqrt(sample.size)
    scale = float(np.abs(sample).max())
    if np.ptp(sample) <= _ROUNDING * max(scale, 1.0):  # differences from rounding are no spread
        value = 0.0 if scale <= _ROUNDING else float(sample[0])
        return Interval(value, value, value, sample.size, 1.0 if value == 0 else math.nan)
    half = float(stdtrit(freedom, 0.975)) * error
    return Interval(mean, mean - half, mean + half, sample.size, 2 * float(stdtr(freedom, -abs(mean) / error)))


def paired_interval(values: Mapping[int, float], baseline: Mapping[int, float]) -> Interval:
    """The interval of ``values − baseline``, both seed → value of the same seeds, subtracted seed by seed.

    >>> paired_interval({1: 0.9, 2: 0.8}, {1: 0.5, 2: 0.4}).mean.__round__(3)
    0.4
    """
    return mean_interval([values[seed] - baseline[seed] for seed in sorted(values)])


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for their number by Holm's step-down method (1979); NaN remains NaN and does not count.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    known = sorted((p, index) for index, p in enumerate(p_values) if not math.isnan(p))
    corrected = [math.nan] * len(p_values)
    largest = 0.0
    for rank, (p, index) in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - rank) * p))
        corrected[index] = largest
    return corrected


def effect_size(mean: float, low: float, high: float, seeds: int) -> Estimate:
    """Cohen's d of paired differences with its 95 % interval, from their mean and 95 % t-interval.

    d = mean / s, s with n−1. t = d·√n has the noncentral t distribution with n−1 degrees of freedom. The bounds are the
    noncentralities under which t lies at the 97.5th and at the 2.5th percentile, divided by √n. d measures the mean in
    units of the variation between seeds, so it says how certain a difference is rather than how large it is. It is NaN
    for one seed, and if all seeds have the same difference.

    >>> interval = mean_interval([0.5, 1.0, 1.5])
    >>> [round(value, 2) for value in effect_size(interval.mean, interval.low, interval.high, 3)]
    [2.0, -0.14, 4.11]
    """
    if math.isnan(low) or low == high:
        return Estimate(math.nan, math.nan, math.nan)
    freedom = seeds - 1
    error = (high - low) / (2 * float(stdtrit(freedom, 0.975)))
    t, root = mean / error, math.sqrt(seeds)
    lower, upper = (float(nctdtrinc(freedom, quantile, t)) / root for quantile in (0.975, 0.025))
    return Estimate(t / root, lower, upper)
