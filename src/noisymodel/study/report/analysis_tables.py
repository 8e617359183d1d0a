"""Tables of the analysis: drift of the features, correlations with accuracy, the ablation, standardized effects."""

from __future__ import annotations

import math

from ..analysis import Correlation
from ..analysis.correlations import MEASURES, WITHIN_RATE, WITHIN_SEED
from ..analysis.intervals import effect_size
from ..analysis.summary import NOISY, SummaryRow, is_headline
from ..rows import FEATURES
from .results import Results
from .tables import (
    AVERAGED,
    DIFFERENCE_HEADER,
    Table,
    bars,
    difference_entries,
    filled,
    metric_rows,
    paired_rows,
    ranges,
    rate_header,
)
from .wording import WHERE, Entry, estimate_entry, interval_entry

MEASURE_LABELS = {
    "singular_value_entropy": "SVE",
    "largest_singular_value_ratio": "LSVR",
    "effective_rank": "effective rank",
    "subspace_rotation": "rotation",
    "linear_cka": "CKA",
}
DRIFT_METRICS = (
    ("subspace_rotation", "subspace rotation (degrees)", 1.0, 1),
    ("linear_cka", "linear CKA", 1.0, 3),
)
ADJUSTMENTS = {
    WITHIN_SEED: "across noise rates, within seeds",
    WITHIN_RATE: "among networks of the same noise rate",
}
KINDS = {"pearson": "Pearson's r", "spearman": "Spearman's ρ"}


def drift_table(results: Results) -> Table:
    """The rotation of the features against those of the cleanly pre-trained network."""
    caption = f"The frozen features against those of the clean network of the same seed{ranges(results)}"
    rows = [row for metric in DRIFT_METRICS for row in metric_rows(results, FEATURES, [metric])]
    return Table("drift", caption, rate_header("measure", results.rates), tuple(rows))


def correlation_table(results: Results, split: str, adjusted: str, kind: str = "pearson") -> Table:
    """Each measure of the in-domain features against each method's accuracy."""
    chosen = [
        found
        for found in results.correlations
        if (found.measure_split, found.split, found.adjusted, found.kind) == ("id", split, adjusted, kind)
    ]
    by_place = {(found.method, found.measure): found for found in chosen}
    measures = [measure for measure in MEASURES if any(found.measure == measure for found in chosen)]
    rows = tuple(
        (Entry(note.label), *(correlation_entry(by_place.get((note.name, measure))) for measure in measures))
        for note in (*results.methods, *results.ablations)
        if any((note.name, measure) in by_place for measure in measures)
    )
    networks = max((found.networks for found in chosen), default=0)
    intervals = "95 % bootstrap interval over seeds" if any(not math.isnan(f.low) for f in chosen) else "no intervals"
    caption = (
        f"{KINDS[kind]} of the in-domain features' measures with accuracy {WHERE[split]}, {ADJUSTMENTS[adjusted]} "
        f"({networks} networks; {intervals})"
    )
    name = f"correlation-{split}-{adjusted.split()[-1]}" + ("" if kind == "pearson" else f"-{kind}")
    return Table(name, caption, ("method", *(MEASURE_LABELS[measure] for measure in measures)), rows)


def correlation_tables(results: Results, kind: str = "pearson") -> list[Table]:
    """The correlation tables for both adjustments, in-domain and under shift."""
    return filled(correlation_table(results, split, adjusted, kind) for adjusted in ADJUSTMENTS for split in WHERE)


def correlation_entry(found: Correlation | None) -> Entry:
    """A coefficient with its interval."""
    return Entry("–") if found is None else estimate_entry(found.value, found.low, found.high, 2)


def ablation_table(results: Results) -> Table:
    """Each ablation and variant against the method that it is a variation of, mean over the noisy rates."""
    caption = f"Ablation: paired differences, mean over the noisy rates (points, {bars(results)})"
    rows = paired_rows(results, results.against_full_methods, AVERAGED, difference_entries)
    return Table("ablation", caption, ("ablation", *DIFFERENCE_HEADER), rows)


def ablation_by_rate_table(results: Results, split: str) -> Table:
    """The ablation table at each noise rate, including the clean one."""
    rates = (*results.rates, NOISY)
    places = [(rate, split) for rate in rates]
    rows = paired_rows(results, results.against_full_methods, places, lambda row: (interval_entry(row),))
    caption = f"Ablation {WHERE[split]} at each noise rate: paired differences (points, {bars(results)})"
    return Table(f"ablation-{split}", caption, rate_header("ablation", rates), rows)


def effect_table(results: Results) -> Table:
    """The headline comparisons as standardized effects."""
    caption = (
        "Standardized effects: Cohen's d of the paired differences, mean over the noisy rates (95 % interval from the "
        "noncentral t; how sure a difference is between seeds, not how large)"
    )
    rows = paired_rows(results, results.against_baselines(), AVERAGED, _effect)
    return Table("effects", caption, ("difference", *WHERE.values()), rows)


def _effect(row: SummaryRow | None) -> tuple[Entry]:
    if row is None or not is_headline(row):
        return (Entry("–"),)
    return (estimate_entry(*effect_size(row.mean, row.low, row.high, row.seeds), digits=1),)


def analysis_tables(results: Results) -> list[Table]:
    """The tables of the analysis that are open on the page."""
    return filled([drift_table(results), *correlation_tables(results), ablation_table(results)])


def further_analysis_tables(results: Results) -> list[Table]:
    """The tables of the analysis that are folded on the page."""
    tables = [*correlation_tables(results, "spearman"), *(ablation_by_rate_table(results, split) for split in WHERE)]
    return filled([*tables, effect_table(results)])
