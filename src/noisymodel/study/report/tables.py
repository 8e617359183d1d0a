"""The tables of a study, as text cells: for the page and for the terminal."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

from ..analysis import Correlation
from ..analysis.correlations import MEASURES, WITHIN_RATE, WITHIN_SEED
from ..analysis.intervals import effect_size
from ..analysis.summary import NOISY, SummaryRow
from ..rows import FEATURES, PRETRAINING
from .results import Comparisons, Results
from .wording import (
    WHERE,
    Entry,
    capitalized,
    change_entry,
    estimate_entry,
    interval_entry,
    mean_entry,
    rate_text,
)

FEATURE_METRICS = (
    ("singular_value_entropy", "SVE", 1.0, 2),
    ("largest_singular_value_ratio", "LSVR", 1.0, 2),
    ("effective_rank", "effective rank", 1.0, 1),
)
PRETRAINING_METRICS = (
    ("clean_accuracy", "clean accuracy (%)", 100.0, 1),
    ("noisy_label_fit", "fit to the noisy labels (%)", 100.0, 1),
    ("retrieval_accuracy", "retrieval accuracy (%)", 100.0, 1),
    ("masked_token_accuracy", "masked-token accuracy (%)", 100.0, 1),
)


SPECTRAL = {"singular_value_entropy": "SVE", "largest_singular_value_ratio": "LSVR"}
MEASURE_LABELS = {
    **SPECTRAL,
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

Line = tuple[Entry, ...]


class Table(NamedTuple):
    """A table of text; the first cell of a row is its heading; a row of one cell is the heading of the rows below."""

    name: str
    caption: str
    header: tuple[str, ...]
    rows: Sequence[Line]


def filled(tables: Iterable[Table]) -> list[Table]:
    """The tables that have rows."""
    return [table for table in tables if table.rows]


def group_tables(results: Results) -> dict[str, list[Table]]:
    """Part of the page -> its tables of a group, in the page's order; those of the parts ``"more_…"`` are folded."""

    def by_split(table: Callable[[Results, str], Table]) -> list[Table]:
        return [table(results, split) for split in WHERE]

    parts = {
        "tables": [
            *by_split(accuracy_table), *by_split(change_table), difference_table(results), spectrum_table(results),
        ],
        "more_tables": [*by_split(difference_by_rate_table), shift_table(results)],
        "analysis": [drift_table(results), *correlation_tables(results), ablation_table(results)],
        "more_analysis": [
            *correlation_tables(results, "spearman"), *by_split(ablation_by_rate_table), effect_table(results),
        ],
    }  # fmt: skip
    return {part: filled(tables) for part, tables in parts.items()}


def accuracy_table(results: Results, split: str) -> Table:
    """Accuracy of each method at each rate in %, mean ± half-width of the interval."""
    where = "In-domain accuracy" if split == "id" else f"Accuracy under shift, {_count(results)}"
    rows = lines((note.label, results.over_rates(note.name, split=split)) for note in results.methods)
    rows += [(Entry(label), *(Entry("–") for _ in results.rates)) for label in results.lacking]
    caption = f"{where} (%), by {results.noise} in pre-training{ranges(results)}{_gaps(results)}"
    return Table(f"accuracy-{split}", caption, rate_header("method", results.rates), tuple(rows))


def _gaps(results: Results) -> str:
    """The reason why some methods have no numbers, for the end of a caption."""
    if not results.lacking:
        return ""
    return "; no numbers of " + "; ".join(f"{label} ({why})" for label, why in results.lacking.items())


def change_table(results: Results, split: str) -> Table:
    """Change of each method against itself on clean pre-training, in points."""
    where = "in-domain accuracy" if split == "id" else "accuracy under shift"
    rates = (*results.noisy_rates, NOISY)
    found = {note.label: [results.change(note.name, rate, split=split) for rate in rates] for note in results.methods}
    caption = f"Change of {where} against clean pre-training (points, paired by seed{ranges(results, ', ')})"
    rows = lines(found.items(), change_entry)
    return Table(f"change-{split}", caption, rate_header("method", rates), tuple(rows))


def spectrum_table(results: Results) -> Table:
    """SVE, LSVR and effective rank of the frozen features, and the accuracy of pre-training."""
    rows = metric_rows(results, PRETRAINING, PRETRAINING_METRICS) + metric_rows(results, FEATURES, FEATURE_METRICS)
    caption = f"The pre-trained network and the spectrum of its frozen features{ranges(results)}"
    return Table("spectrum", caption, rate_header("metric", results.rates), tuple(rows))


def metric_rows(results: Results, method: str, metrics: Sequence[tuple[str, str, float, int]]) -> list[Line]:
    """A row for each metric in-domain, then under shift: mean ± half-width at each rate."""
    rows: list[Line] = []
    for split, where in (("id", ""), ("ood", ", under shift")):
        for metric, label, scale, digits in metrics:
            found = results.over_rates(method, split=split, metric=metric)
            rows += lines([(label + where, found)], partial(mean_entry, scale=scale, digits=digits))
    return rows


def difference_table(results: Results) -> Table:
    """Each method against its baselines, averaged over the noisy rates, with intervals and Holm's p-value."""
    caption = f"{results.compared} baselines: paired differences, mean over the noisy rates (points, {bars(results)})"
    rows = paired_rows(results, results.against_baselines(), AVERAGED, difference_entries)
    return Table("differences", caption, ("difference", *DIFFERENCE_HEADER), rows)


def difference_by_rate_table(results: Results, split: str) -> Table:
    """Paired differences at each rate, including those of the other baselines and the first one."""
    first = results.reference_method
    others = [(note.name, first) for note in results.methods if note.name != first]
    pairs = results.pairs + [pair for pair in others if pair not in results.pairs]
    rates = (*results.rates, NOISY)
    places = [(rate, split) for rate in rates]
    rows = paired_rows(results, results.against_baselines(pairs), places, lambda row: (change_entry(row),))
    caption = f"Paired differences {WHERE[split]} at each noise rate (points{ranges(results, ', ')})"
    return Table(f"differences-{split}", caption, rate_header("difference", rates), rows)


def shift_table(results: Results) -> Table:
    """Change of the reference method under each shift."""
    method = results.reference_method
    rates = (*results.noisy_rates, NOISY)
    rows: list[Line] = []
    for shift in results.shifts:
        clean = results.find(method, repr(0.0), split="ood", shift=shift)
        found = [results.change(method, rate, split="ood", shift=shift) for rate in rates]
        if any(found):
            rows.append((Entry(shift), mean_entry(clean), *map(change_entry, found)))
    header = ("shift", f"accuracy at {rate_text('0')} (%)", *map(rate_text, rates))
    label = capitalized(results.label(method))
    caption = f"{label}: change against clean pre-training under each shift (points, paired by seed)"
    return Table("shifts", caption, header, tuple(rows))


# ---- the analysis ----------------------------------------------------------------------------------------------------


def drift_table(results: Results) -> Table:
    """The rotation of the features against those of the cleanly pre-trained network."""
    caption = f"The frozen features against those of the clean network of the same seed{ranges(results)}"
    rows = [row for metric in DRIFT_METRICS for row in metric_rows(results, FEATURES, [metric])]
    return Table("drift", caption, rate_header("measure", results.rates), tuple(rows))


def correlation_table(results: Results, split: str, adjusted: str, kind: str = "pearson") -> Table:
    """Each measure of the in-domain features against each method's accuracy."""
    chosen = {
        (found.method, found.measure): found
        for found in results.correlations
        if (found.measure_split, found.split, found.adjusted, found.kind) == ("id", split, adjusted, kind)
    }
    methods, there = ({key[place] for key in chosen} for place in (0, 1))
    measures = [measure for measure in MEASURES if measure in there]
    rows = tuple(
        (Entry(note.label), *(correlation_entry(chosen.get((note.name, measure))) for measure in measures))
        for note in (*results.methods, *results.ablations)
        if note.name in methods
    )
    networks = max((found.networks for found in chosen.values()), default=0)
    known = any(not math.isnan(found.low) for found in chosen.values())
    intervals = "95 % bootstrap interval over seeds" if known else "no intervals"
    caption = (
        f"{KINDS[kind]} of the in-domain features' measures with accuracy {WHERE[split]}, {ADJUSTMENTS[adjusted]} "
        f"({networks} networks; {intervals})"
    )
    name = f"correlation-{split}-{adjusted.split()[-1]}" + ("" if kind == "pearson" else f"-{kind}")
    return Table(name, caption, ("method", *(MEASURE_LABELS[measure] for measure in measures)), rows)


def correlation_tables(results: Results, kind: str = "pearson") -> list[Table]:
    """The correlation tables for both adjustments, in-domain and under shift."""
    return [correlation_table(results, split, adjusted, kind) for adjusted in ADJUSTMENTS for split in WHERE]


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
    if row is None:
        return (Entry("–"),)
    return (estimate_entry(*effect_size(row.mean, row.low, row.high, row.seeds), digits=1),)


# ---- rows ------------------------------------------------------------------------------------------------------------

AVERAGED = tuple((NOISY, split) for split in WHERE)
"""The mean over the noisy rates, in-domain and under shift."""
DIFFERENCE_HEADER = ("in-domain", "p (Holm)", "under shift", "p (Holm)")
"""The columns of `difference_entries` at `AVERAGED`."""


def lines(
    found: Iterable[tuple[str, Sequence[SummaryRow | None]]],
    entry: Callable[[SummaryRow | None], Entry] = mean_entry,
) -> list[Line]:
    """A line for each heading that has any number."""
    return [(Entry(heading), *map(entry, rows)) for heading, rows in found if any(rows)]


def paired_rows(
    results: Results,
    groups: Comparisons,
    places: Sequence[tuple[str, str]],
    entries: Callable[[SummaryRow | None], tuple[Entry, ...]],
) -> tuple[Line, ...]:
    """Under each heading its comparisons, with entries for each place (rate and split); empty lines are left out."""
    rows: list[Line] = []
    for heading, comparisons in groups:
        told: list[Line] = []
        for label, method, baseline in comparisons:
            found = [results.find(method, rate, baseline=baseline, split=split) for rate, split in places]
            if any(cell.text != "–" for row in found for cell in entries(row)):
                told.append((Entry(label), *(cell for row in found for cell in entries(row))))
        rows += [(Entry(heading),), *told] if told else []
    return tuple(rows)


def difference_entries(row: SummaryRow | None) -> tuple[Entry, Entry]:
    """A difference with its interval, and Holm's p-value."""
    return interval_entry(row), Entry(p_text(row.p_holm) if row else "–")


def p_text(p_value: float) -> str:
    """A p-value without its leading zero."""
    if math.isnan(p_value):
        return "–"
    return "< .001" if p_value < 0.001 else f"{p_value:.3f}".removeprefix("0")


# ---- headers and captions --------------------------------------------------------------------------------------------


def rate_header(first: str, rates: Iterable[str]) -> tuple[str, ...]:
    """The header of a table with a column for each noise rate."""
    return first, *map(rate_text, rates)


def ranges(results: Results, join: str = "; ") -> str:
    """The explanation of ±, for the end of a caption."""
    return join + (f"± 95 % interval over {results.seeds} seeds" if results.seeds > 1 else bars(results))


def bars(results: Results) -> str:
    """What stands in square brackets."""
    return "95 % interval" if results.seeds > 1 else "one seed, no intervals"


def _count(results: Results) -> str:
    return f"mean of {len(results.shifts)} shifts" if len(results.shifts) != 1 else f"the shift “{results.shifts[0]}”"
