"""Correlations of spectra and rotation with accuracy, over the networks of a study, adjusted for the seed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from ..rows import FEATURES, PRETRAINING, Row
from .bootstrap import RESAMPLES, Scorer, Values, estimate

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

_KINDS = ("pearson", "spearman")
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


Group = tuple[str, str, str, str]
_Series = Mapping[tuple[float, int], float]
"""(Noise rate, seed) -> value."""


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
    described, scored = _series(table)
    found: list[Correlation] = []
    for group, measured in described.items():
        scorer = Scorer(seed, resamples)
        for (_, method, shots), accuracies in ((key, values) for key, values in scored.items() if key[0] == group):
            for (measure, measure_split), (split, values) in _pairs(measured, accuracies):
                head = (*group, method, shots, measure, measure_split, split)
                found += _correlations(head, measured[measure, measure_split], values, scorer)
    return found


def _pairs(
    measured: Mapping[tuple[str, str], _Series], accuracies: Mapping[str, _Series]
) -> Iterator[tuple[tuple[str, str], tuple[str, _Series]]]:
    for measure in MEASURES:
        for measure_split, split in _SIDES:
            if (measure, measure_split) in measured and split in accuracies:
                yield (measure, measure_split), (split, accuracies[split])


def _series(
    table: Iterable[Row],
) -> tuple[
    dict[Group, dict[tuple[str, str], _Series]],
    dict[tuple[Group, str, int], dict[str, _Series]],
]:
    """The measures of each group's features, and the accuracies of each of its methods; means over the shifts."""
    gathered: dict[tuple[object, ...], dict[tuple[float, int], list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in table:
        if row.method == FEATURES and row.metric in MEASURES:
            gathered[FEATURES, row[:4], row.metric, row.split][row.noise_rate, row.seed].append(row.value)
        elif row.metric == "accuracy" and row.method not in (FEATURES, PRETRAINING):
            gathered["", (row[:4], row.method, row.shots), row.split][row.noise_rate, row.seed].append(row.value)
    described: dict[Group, dict[tuple[str, str], _Series]] = defaultdict(dict)
    scored: dict[tuple[Group, str, int], dict[str, _Series]] = defaultdict(dict)
    for key, by_network in gathered.items():
        means = {network: float(np.mean(values)) for network, values in by_network.items()}
        if key[0] == FEATURES:
            described[key[1]][key[2], key[3]] = means  # pyright: ignore[reportArgumentType] # as put there above
        else:
            scored[key[1]][key[2]] = means  # pyright: ignore[reportArgumentType] # as put there above
    return described, scored


def _correlations(
    head: tuple[str, str, str, str, str, int, str, str, str], left: _Series, right: _Series, scorer: Scorer
) -> Iterator[Correlation]:
    shared = sorted(set(left) & set(right))
    rates = sorted({rate for rate, _ in shared})
    together = set(shared)
    seeds = [at for at in sorted({at for _, at in shared}) if all((rate, at) in together for rate in rates)]
    if len(rates) < FEWEST_RATES or not seeds:
        return
    grids: list[Values] = [np.array([[of[rate, at] for rate in rates] for at in seeds]) for of in (left, right)]
    for adjusted in (WITHIN_SEED, WITHIN_RATE):
        for kind in _KINDS:
            sides = [scorer(grid, rates_too=adjusted == WITHIN_RATE, ranks=kind == "spearman") for grid in grids]
            result = estimate(*sides, seeds=len(seeds))
            yield Correlation(*head, adjusted, kind, *result, networks=len(rates) * len(seeds), seeds=len(seeds))
