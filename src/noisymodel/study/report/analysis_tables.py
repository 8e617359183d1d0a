"""Tables of the analysis: drift of the features, correlations with accuracy, the ablation, standardized effects."""

from __future__ import annotations

import math

from ..analysis import Correlation
from ..analysis.correlations import MEASURES, WITHIN_RATE, WITHIN_SEED
from ..analysis.intervals import effect_size
from ..analysis.summary import NOISY, SummaryRow, is_headline
from ..rows import FEATURES
from .results import Results
from .tables import Table, difference_entries, filled, metric_rows, paired_rows, ranges
from .wording import WHERE, Entry, interval_entry, rate_text

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
    header = ("measure", *(rate_text(rate) for rate in results.rates))
    caption = f"The frozen features against those of the clean network of the same seed{ranges(results)}"
    rows = [row for metric in DRIFT_METRICS for row in metric_rows(results, FEATURES, [metric])]
    return Table("drift", caption, header, tuple(rows))


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
    """A coefficient with its interval; its sign is neither a gain nor a loss, so it has no colour."""
    if found is None or math.isnan(found.value):
        return Entry("–")
    numbers = [f"{number:+.2f}".replace("-", "−") for number in (found.value, found.low, found.high)]
    if math.isnan(found.low):
        return Entry(numbers[0])
    return Entry(f"{numbers[0]} [{numbers[1]},\u00a0{numbers[2]}]")


def ablation_table(results: Results) -> Table:
    """Each ablation and variant against the method that it is a variation of, mean over the noisy rates."""

    def line(base: str, name: str) -> tuple[Entry, ...]:
        found = [results.find(name, NOISY, baseline=base, split=split) for split in WHERE]
        return Entry(results.label(name)), *(entry for row in found for entry in difference_entries(row))

    rows = paired_rows(_ablations(results), lambda base: f"against {results.label(base)}", line)
    header = ("ablation", "in-domain", "p (Holm)", "under shift", "p (Holm)")
    intervals = "95 % interval" if results.seeds > 1 else "one seed, no intervals"
    caption = f"Ablation: paired differences, mean over the noisy rates (points, {intervals})"
    return Table("ablation", caption, header, rows)


def _ablations(results: Results) -> list[tuple[str, str]]:
    return [(note.base, note.name) for note in results.ablations]


def ablation_by_rate_table(results: Results, split: str) -> Table:
    """The ablation table at each noise rate, including the clean one."""
    columns = (*results.rates, NOISY)

    def line(base: str, name: str) -> tuple[Entry, ...]:
        found = [results.find(name, rate, baseline=base, split=split) for rate in columns]
        return Entry(results.label(name)), *map(interval_entry, found)

    rows = paired_rows(_ablations(results), lambda base: f"against {results.label(base)}", line)
    header = ("ablation", *(rate_text(rate) for rate in columns))
    intervals = "95 % interval" if results.seeds > 1 else "one seed, no intervals"
    caption = f"Ablation {WHERE[split]} at each noise rate: paired differences (points, {intervals})"
    return Table(f"ablation-{split}", caption, header, rows)


def effect_table(results: Results) -> Table:
    """The headline comparisons as standardized effects."""

    def line(method: str, baseline: str) -> tuple[Entry, ...]:
        found = [results.find(method, NOISY, baseline=baseline, split=split) for split in WHERE]
        return Entry(f"− {results.label(baseline)}"), *map(_effect, found)

    rows = paired_rows(results.pairs, results.label, line)
    caption = (
        "Standardized effects: Cohen's d of the paired differences, mean over the noisy rates (95 % interval from the "
        "noncentral t; how sure a difference is between seeds, not how large)"
    )
    return Table("effects", caption, ("difference", *WHERE.values()), rows)


def _effect(row: SummaryRow | None) -> Entry:
    if row is None or not is_headline(row):
        return Entry("–")
    size = effect_size(row.mean, row.low, row.high, row.seeds)
    if math.isnan(size.size):
        return Entry("–")
    numbers = [f"{number:+.1f}".replace("-", "−") for number in size]
    return Entry(f"{numbers[0]} [{numbers[1]},\u00a0{numbers[2]}]")


def analysis_tables(results: Results) -> list[Table]:
    """The tables of the analysis that are open on the page."""
    return filled([drift_table(results), *correlation_tables(results), ablation_table(results)])


def further_analysis_tables(results: Results) -> list[Table]:
    """The tables of the analysis that are folded on the page."""
    tables = [*correlation_tables(results, "spearman"), *(ablation_by_rate_table(results, split) for split in WHERE)]
    return filled([*tables, effect_table(results)])
