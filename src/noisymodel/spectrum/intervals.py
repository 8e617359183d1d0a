"""Intervals for metrics of a spectrum over other samples of rows.

Two questions have two intervals. ``target="sample"``: what is the mean of this metric over samples of N rows? Take it
to compare models on equally many rows; both intervals lie around the value itself. ``target="population"``: what is the
metric of infinitely many rows? The SVE, LSVR and effective rank of N rows are too small, by about D/N of the effective
rank; this interval subtracts the estimated bias.

The percentiles of a bootstrap answer neither: a resample holds 63 % of the rows, some twice, so that its spectrum is
that of a smaller sample and the bias comes in once more. ``docs/spectra_measured.md`` has the measured coverage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri, stdtrit

from .._checks import check_integer
from .accumulator import SpectrumAccumulator
from .analysis import Center, check_matrix
from .measuring import MEASURED, Measuring, Metrics, Target
from .resampling import Parts, accumulated, blocks_of, joined, leave_one_out, resampled, units_of
from .singular_values import Array


@dataclass(frozen=True)
class MetricInterval:
    """A metric of a spectrum with its interval.

    Attributes:
        value: the metric of all rows (of the difference, where one was asked for).
        low: lower bound.
        high: upper bound.
        standard_error: of ``value``.
        bias: the estimated mean of ``value`` less the metric of the population; negative for SVE, LSVR and ranks.
        level: the nominal coverage of the target.
        target: ``"sample"`` or ``"population"``.
        replicates: (m,) the metric with each block left out, or of each resample.
    """

    value: float
    low: float
    high: float
    standard_error: float
    bias: float
    level: float
    target: Target
    replicates: npt.NDArray[np.float64] = field(repr=False, compare=False)

    @property
    def estimate(self) -> float:
        """What the interval lies around: ``value``, less ``bias`` where the target is the population."""
        return self.value - self.bias if self.target == "population" else self.value

    def __str__(self) -> str:
        return f"{self.estimate:.5g} [{self.low:.5g}, {self.high:.5g}]"


def jackknife_intervals(
    features: Parts,
    metrics: Metrics = MEASURED,
    *,
    against: Parts | None = None,
    num_blocks: int = 20,
    groups: object = None,
    target: Target = "sample",
    level: float = 0.95,
    center: Center = "none",
    normalize: bool = False,
    preset: Literal["official"] | None = None,
    seed: int = 0,
) -> dict[str, MetricInterval]:
    """Intervals from leaving out one block of rows at a time, for a matrix, or for accumulators as blocks.

    With θ_(−j) the metric without the m_j rows of block j, h_j = N/m_j, the pseudo-values θ̃_j = h_j·θ − (h_j−1)·θ_(−j)
    and their weighted mean θ_J = m·θ − Σ (1 − 1/h_j)·θ_(−j), the variance is (1/m)·Σ (θ̃_j − θ_J)²/(h_j−1), the bias
    θ − θ_J, and the bounds are θ (or θ_J, for the population) ± t_(m−1)·√variance. For equal blocks that is the usual
    delete-a-block jackknife. This is the recommended interval: it covers even with fewer rows than features
    (``target="sample"``).

    Only the rows vary: no resampling of rows shows the effect of another pre-training seed. Heavy-tailed rows (a few
    with most of the energy) make the interval too narrow.

    Args:
        features: (N, D), torch or numpy; or accumulators, each with the rows of one block. Memory O(m·D²) for those
            blocks, and m·log₂ m merges: nothing of it grows with N.
        metrics: names of properties and methods of `Spectrum`, or functions of a `Spectrum` by name. The metric must
            not grow with N as the singular values do.
        against: the features (or accumulators) of another model on the same samples in the same order, of any D: the
            interval is of metric(features) − metric(against), with the same rows left out of both.
        num_blocks: m, at most N (or the number of groups); not for accumulators. N leaves out single rows.
        groups: (N,) labels of dependent rows (views of an image, frames of a video), which always share a
            block. None: all rows are independent.
        target: ``"sample"`` or ``"population"``, see the module.
        level: in (0, 1).
        center: as in `analyze`; "none" or "column" for accumulators, whose row operations are their own.
        normalize: as in `analyze`; not for accumulators.
        preset: as in `analyze`; not for accumulators.
        seed: which rows (or groups) come into one block.

    Returns:
        Name of the metric → :class:`MetricInterval`. NaN where the metric of one replicate is.

    Raises:
        TypeError, ValueError: as `analyze`; fewer than two blocks; ``against`` of other rows; unknown names.

    Warns:
        PopulationBiasWarning: for the population with N < 4·D.

    Source: Busing, Meijer and van der Leeden 1999 (blocks of unequal size); Quenouille 1956; Tukey 1958.

    >>> from noisymodel.spectrum import jackknife_intervals
    >>> features = np.random.default_rng(0).normal(size=(400, 8))
    >>> interval = jackknife_intervals(features, ["entropy"])["entropy"]
    >>> print(interval)
    2.0763 [2.0747, 2.078]
    """
    check_integer(num_blocks, "num_blocks", minimum=2)
    measure = Measuring.of(metrics, target, level, center, normalize, preset)
    blocks = blocks_of(features, "features", measure.settings, num_blocks, groups, seed)
    sizes = np.array([block.count for block in blocks], dtype=np.float64)
    values, left_out = _measured(blocks, measure)
    if against is not None:
        others = blocks_of(against, "against", measure.settings, num_blocks, groups, seed)
        if [other.count for other in others] != sizes.tolist():
            raise ValueError(
                f"`against` must have the rows of `features`, in blocks of {sizes.astype(int).tolist()}, "
                f"got {[other.count for other in others]}"
            )
        other_values, other_left_out = _measured(others, measure)
        values, left_out = values - other_values, left_out - other_left_out
    mean, errors = _delete_a_block(values, left_out, sizes)
    half = float(stdtrit(len(sizes) - 1, 0.5 + level / 2)) * errors
    middle = mean if target == "population" else values
    return _intervals(measure, values, (middle - half, middle + half), errors, values - mean, left_out)


def bootstrap_intervals(
    features: Array,
    metrics: Metrics = MEASURED,
    *,
    against: Array | None = None,
    num_resamples: int = 200,
    groups: object = None,
    target: Target = "sample",
    level: float = 0.95,
    center: Center = "none",
    normalize: bool = False,
    preset: Literal["official"] | None = None,
    seed: int = 0,
) -> dict[str, MetricInterval]:
    """Intervals from resamples of N rows, drawn with replacement from all N.

    With the resamples' metrics θ*, their standard deviation s and mean θ̄*, and z the normal quantile: θ ± z·s for the
    sample, and [2θ − θ*_(upper), 2θ − θ*_(lower)] of their quantiles for the population; the bias is θ̄* − θ. Never
    θ*'s own percentiles, which carry the bias a second time (see the module).

    It costs ``num_resamples`` whole spectra, and below N = 4·D its intervals are too wide (its standard error for the
    SVE is 1.8 times the true one at N = 2·D, 5 times at N < D): take `jackknife_intervals`, and this one as a check.
    It is somewhat better for heavy tails.

    All arguments, errors and warnings not named here are those of `jackknife_intervals`.

    Args:
        features: (N, D), torch or numpy; no accumulators.
        metrics: as there.
        against: as there.
        num_resamples: 200 for standard errors, 1000 for the quantiles of a population's interval.
        groups: as there; whole groups are drawn.
        target: as there.
        level: as there.
        center: as there.
        normalize: as there.
        preset: as there.
        seed: of the resamples.

    Returns:
        Name of the metric → :class:`MetricInterval`.

    Source: Efron 1979; Efron and Tibshirani 1993, chapters 12 and 13 (normal and basic intervals).

    >>> from noisymodel.spectrum import bootstrap_intervals
    >>> features = np.random.default_rng(0).normal(size=(400, 8))
    >>> interval = bootstrap_intervals(features, ["entropy"])["entropy"]
    >>> round(interval.bias, 4), interval.replicates.shape
    (-0.0028, (200,))
    """
    check_integer(num_resamples, "num_resamples", minimum=2)
    measure = Measuring.of(metrics, target, level, center, normalize, preset)
    matrices = {"features": features} | ({} if against is None else {"against": against})
    for name, matrix in matrices.items():
        if len(check_matrix(matrix, name)[0]) != len(features):
            raise ValueError(f"`against` must have the {len(features)} rows of `features`, got {len(matrix)}")
    for matrix in matrices.values():
        measure.warn_of_few_rows(len(matrix), matrix.shape[1])

    def difference(rows: npt.NDArray[np.int64] | None) -> npt.NDArray[np.float64]:
        first, *rest = [measure(accumulated(matrix, rows, measure.settings)) for matrix in matrices.values()]
        return first - rest[0] if rest else first

    values = difference(None)
    units = units_of(len(features), groups)
    drawn = np.array([difference(rows) for rows in resampled(units, seed, num_resamples)])
    errors = drawn.std(axis=0, ddof=1)
    tail = (1 - level) / 2
    if target == "population":
        upper, lower = np.quantile(drawn, [1 - tail, tail], axis=0)
        bounds = 2 * values - upper, 2 * values - lower
    else:
        half = -float(ndtri(tail)) * errors
        bounds = values - half, values + half
    return _intervals(measure, values, bounds, errors, drawn.mean(axis=0) - values, drawn)


def _measured(
    blocks: Sequence[SpectrumAccumulator], measure: Measuring
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The metrics of all blocks (M,), and those without each of them (m, M)."""
    measure.warn_of_few_rows(sum(block.count for block in blocks), blocks[0].num_features)
    return measure(joined(blocks)), np.array([measure(part) for part in leave_one_out(blocks)])


def _delete_a_block(
    values: npt.NDArray[np.float64], left_out: npt.NDArray[np.float64], sizes: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """θ_J and its standard error, from θ (M,) and θ_(−j) (m, M)."""
    share = sizes[:, None] / sizes.sum()  # 1/h
    with np.errstate(invalid="ignore"):  # inf − inf, of a condition number for instance, is NaN here
        mean = len(sizes) * values - np.sum((1 - share) * left_out, axis=0)
        pseudo = (values - (1 - share) * left_out) / share
        return mean, np.sqrt(np.mean((pseudo - mean) ** 2 * share / (1 - share), axis=0))


def _intervals(
    measure: Measuring,
    values: npt.NDArray[np.float64],
    bounds: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]],
    errors: npt.NDArray[np.float64],
    biases: npt.NDArray[np.float64],
    replicates: npt.NDArray[np.float64],
) -> dict[str, MetricInterval]:
    numbers = {"value": values, "low": bounds[0], "high": bounds[1], "standard_error": errors, "bias": biases}
    found: dict[str, MetricInterval] = {}
    for place, name in enumerate(measure.metrics):
        own = {attribute: float(column[place]) for attribute, column in numbers.items()}
        drawn = replicates[:, place].copy()
        found[name] = MetricInterval(**own, level=measure.level, target=measure.target, replicates=drawn)
    return found
