"""Sentences about the analysis, derived from its numbers."""

from __future__ import annotations

import math
from collections import Counter

from ..analysis import Correlation
from ..analysis.correlations import WITHIN_RATE, WITHIN_SEED
from ..analysis.summary import NOISY
from .results import Results
from .tables import MEASURE_LABELS, correlation_entry
from .wording import FEW_SEEDS, WHERE, after_holm, capitalized, listed, signed

_TOLD = ("singular_value_entropy", "largest_singular_value_ratio", "subspace_rotation")


def analysis_sentences(results: Results) -> list[str]:
    """Sentences about the correlates of accuracy and the result of the ablation."""
    return [*_correlations(results), *_ablation(results)]


def _correlations(results: Results) -> list[str]:
    chosen = results.reference_correlations
    method = results.label(results.reference_method)
    sentences: list[str] = []
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
        if parts:
            sentences.append(
                f"Correlation with accuracy {where} ({method}), across noise rates within seeds and among networks of "
                f"the same noise rate: {'; '.join(parts)}."
            )
    if not sentences:
        return []
    return [*sentences, *_reading(results, same_rate)]


def _reading(results: Results, same_rate: list[Correlation]) -> list[str]:
    """The conclusions from the correlations among networks of the same rate."""
    known = [found for found in same_rate if not math.isnan(found.low)]
    if not known:
        return ["With so few seeds there are no intervals, and nothing can be concluded."]
    excluding = [found for found in known if found.low > 0 or found.high < 0]
    caution = " With so few seeds the bootstrap's intervals are too narrow." if results.seeds < FEW_SEEDS else ""
    if not excluding:
        return [
            "Among networks of the same noise rate every interval includes zero: these numbers give no evidence that "
            "the spectrum goes with accuracy beyond what noise moves in both." + caution
        ]
    names = listed(f"{MEASURE_LABELS[found.measure]} {WHERE[found.split]}" for found in excluding)
    counted = f"{len(excluding)} of {len(known)} looked at, not corrected for their number"
    return [
        f"Among networks of the same noise rate the interval excludes zero for {names} ({counted}). That is "
        "association between seeds, not yet an explanation: what else differs between seeds may move both." + caution
    ]


def _ablation(results: Results) -> list[str]:
    sentences: list[str] = []
    for split, where in WHERE.items():
        found = {note: results.find(note.name, NOISY, baseline=note.base, split=split) for note in results.ablations}
        told = [(after_holm(row), f"{note.label} ({signed(row.mean)})") for note, row in found.items() if row]
        names = {kind: listed(name for said, name in told if said == kind) for kind in ("loss", "gain")}
        parts = [f"a {kind} for {name}" for kind, name in names.items() if name]
        rest = Counter(said for said, _ in told)["not significant"]
        if rest:
            parts.append(f"no significant difference for {'the other' if parts else 'any of the'} {rest}")
        if parts:
            sentences.append(capitalized(f"ablation {where}, after Holm's correction: {'; '.join(parts)}."))
    return sentences
