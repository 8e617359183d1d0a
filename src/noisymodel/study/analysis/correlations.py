"""Correlations of spectra and rotation with accuracy, over the networks of a study, adjusted for the seed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from itertools import product
from typing import NamedTuple

import numpy as np

from ..rows import FEATURES, PRETRAINING, Row
from .bootstrap import RESAMPLES, Values, estimate, resampled_seeds, scores
from .means import means

MEASURES = (
    "singular_value_entropy",
    "largest_singular_value_ratio",
    "effective_rank",
    "subspace_rotation",
    "linear_cka",
)
"""The measures of the frozen features that are correlated with accuracy, if present."""

WITHIN_SEED = "seed"
"""Adjustment: each seed's mean over the rates is subtracted. The residuals vary with the noise rate."""
WITHIN_RATE = "seed and rate"
"""Adjustment: each rate's mean over the seeds is subtracted too. The residuals compare networks of the same rate."""

FEWEST_RATES = 3
"""With fewer noise rates, the two points of each seed would always lie on a line."""

_SIDES = (("id", "id"), ("id", "ood"), ("ood", "ood"))
"""(Split of the measure, split of the accuracy)."""


class Correlation(NamedTuple):
    """A correlation over the pre-trained networks of one group: every seed at every noise rate.

    ``measure`` is computed on the frozen features of the test set ``measure_split``, the accuracy of ``method`` on
    ``split``; out of domain both are means over the shifts. ``adjusted`` names the subtracted means: ``"seed"`` or
    ``"seed and rate"``; ``kind`` is ``"pearson"`` or ``"spearman"``. ``value``, ``low`` and ``high`` are in [−1, 1], or
    NaN if nothing varies. The bounds are a 95 % interval from a bootstrap over the seeds; they are NaN with fewer than
    three seeds, and if more than 5 % of the resamples have no correlation, as with three seeds at the same rate.
    """

    data: str
    objective: str
    architecture: str
    noise_kind: str
    method: str
    shots: int
    measure: str
    measure_split: str
    split: str
    adjusted: str
    kind: str
    value: float
    low: float
    high: float
    networks: int
    seeds: int


Key = tuple[tuple[str, str, str, str], str, int, str, str]
"""Group, method, shots, metric and split of a series of numbers."""
Series = Mapping[tuple[float, int], float]
"""(Noise rate, seed) -> value."""
Grid = tuple[tuple[float, ...], ...]
"""The values of a series: for each seed, those at every rate."""


def correlate(table: Iterable[Row], *, seed: int = 0, resamples: int = RESAMPLES) -> list[Correlation]:
    """Correlations of the features' measures with each method's accuracy, in each group of a study.

    Networks of one seed share data and initial values, so only seeds are independent. Each seed's mean over the noise
    rates is subtracted from both variables, and the bootstrap draws whole seeds with replacement. `WITHIN_SEED`
    subtracts nothing else. Then both variables vary with the noise rate, so a correlation is expected even if neither
    causes the other. `WITHIN_RATE` also subtracts each rate's mean over the seeds. The correlation then says whether,
    among networks of the same noise rate, those with another spectrum are better.

    Args:
        table: the rows of a study. Seeds that lack a rate are left out.
        seed: the seed of the bootstrap.
        resamples: the number of resamples.

    Returns:
        The correlations, in the order of groups and methods in the table; none for fewer than three noise rates.
    """
    series = means(_numbers(table))
    scored = dict.fromkeys(key[:3] for key in series if key[1] != FEATURES)
    found: list[Correlation] = []

    @cache
    def scored_once(grid: Grid, rates_too: bool, ranks: bool) -> Values:
        drawn = resampled_seeds(len(grid), seed=seed, resamples=resamples)
        return scores(np.array(grid), drawn, rates_too=rates_too, ranks=ranks)

    for group in dict.fromkeys(key[0] for key in series if key[1] == FEATURES):
        scored_once.cache_clear()  # the scores of the group before take much memory
        for _, method, shots in (key for key in scored if key[0] == group):
            for measure, (measure_split, split) in product(MEASURES, _SIDES):
                measured = series.get((group, FEATURES, 0, measure, measure_split), {})
                accuracies = series.get((group, method, shots, "accuracy", split), {})
                head = (*group, method, shots, measure, measure_split, split)
                found += _correlations(head, measured, accuracies, scored_once)
    return found


def _numbers(table: Iterable[Row]) -> Iterator[tuple[Key, tuple[float, int], float]]:
    """The measures of the features and the accuracies of the methods, each with its series and its network."""
    for row in table:
        measured = row.method == FEATURES and row.metric in MEASURES
        if measured or (row.metric == "accuracy" and row.method not in (FEATURES, PRETRAINING)):
            key = (row[:4], row.method, 0 if measured else row.shots, row.metric, row.split)
            yield key, (row.noise_rate, row.seed), row.value


def _correlations(
    head: tuple[str, str, str, str, str, int, str, str, str],
    left: Series,
    right: Series,
    scored: Callable[[Grid, bool, bool], Values],
) -> Iterator[Correlation]:
    """The correlations of two series over their common networks, for both adjustments and both kinds."""
    shared = set(left) & set(right)
    rates = sorted({rate for rate, _ in shared})
    seeds = [at for at in sorted({at for _, at in shared}) if all((rate, at) in shared for rate in rates)]
    if len(rates) < FEWEST_RATES or not seeds:
        return
    grids = [tuple(tuple(of[rate, at] for rate in rates) for at in seeds) for of in (left, right)]
    for adjusted, kind in product((WITHIN_SEED, WITHIN_RATE), ("pearson", "spearman")):
        sides = [scored(grid, adjusted == WITHIN_RATE, kind == "spearman") for grid in grids]
        result = estimate(*sides, seeds=len(seeds))
        yield Correlation(*head, adjusted, kind, *result, networks=len(rates) * len(seeds), seeds=len(seeds))
