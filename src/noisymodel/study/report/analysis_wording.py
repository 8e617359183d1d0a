"""Sentences about the analysis, derived from its numbers."""

from __future__ import annotations

import math

from ..analysis import Correlation
from ..analysis.correlations import WITHIN_RATE, WITHIN_SEED
from ..analysis.summary import NOISY
from .results import Results
from .tables import MEASURE_LABELS, correlation_entry
from .texts import sentences
from .wording import WHERE, after_holm, by_outcome

_TOLD = ("singular_value_entropy", "largest_singular_value_ratio", "subspace_rotation")


def analysis_sentences(results: Results) -> list[str]:
    """Sentences about the correlates of accuracy and the result of the ablation."""
    return [*_correlations(results), *_ablation(results)]


def _correlations(results: Results) -> list[str]:
    chosen = results.reference_correlations
    told: list[str] = []
    same_rate: list[Correlation] = []
    for split, where in WHERE.items():
        parts: list[str] = []
        for measure in _TOLD:
            across, within = (chosen.get((measure, split, adjusted)) for adjusted in (WITHIN_SEED, WITHIN_RATE))
            if across is None or within is None or math.isnan(across.value):
                continue
            same_rate.append(within)
            said = correlation_entry(within).text
            parts.append(f"{MEASURE_LABELS[measure]} {correlation_entry(across).text}, at the same rate {said}")
        told += sentences(results, "correlations", where=where, parts=parts)
    if not told:
        return []
    known = [found for found in same_rate if not math.isnan(found.low)]
    excluding = [
        f"{MEASURE_LABELS[found.measure]} {WHERE[found.split]}" for found in known if found.low > 0 or found.high < 0
    ]
    return told + sentences(results, "reading", known=known, excluding=excluding)


def _ablation(results: Results) -> list[str]:
    told: list[str] = []
    for split, where in WHERE.items():
        rows = (
            (note.label, results.find(note.name, NOISY, baseline=note.base, split=split)) for note in results.ablations
        )
        told += sentences(results, "ablation", where=where, told=by_outcome(rows, judge=after_holm))
    return told
