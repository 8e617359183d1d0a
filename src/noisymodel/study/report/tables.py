"""The tables of a study, as text cells: for the page and for the terminal."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from ..analysis.summary import NOISY, SummaryRow
from ..rows import FEATURES, PRETRAINING
from .results import Results
from .wording import WHERE, Entry, capitalized, interval_entry, outcome, plus_minus, rate_text, signed_plus_minus

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


class Table(NamedTuple):
    """A table of text; the first cell of a row is its heading; a row of one cell is the heading of the rows below."""

    name: str
    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[Entry, ...], ...]


def filled(tables: Iterable[Table]) -> list[Table]:
    """The tables that have rows."""
    return [table for table in tables if table.rows]


def accuracy_table(results: Results, split: str) -> Table:
    """Accuracy of each method at each rate in %, mean ± half-width of the interval."""
    where = "In-domain accuracy" if split == "id" else f"Accuracy under shift, {_count(results)}"
    rows: list[tuple[Entry, ...]] = []
    for note in results.methods:
        found = [results.find(note.name, rate, split=split) for rate in results.rates]
        if any(found):
            rows.append((Entry(note.label), *(Entry(plus_minus(row) if row else "–") for row in found)))
    rows += [(Entry(label), *(Entry("–") for _ in results.rates)) for label in results.lacking]
    header = ("method", *(rate_text(rate) for rate in results.rates))
    caption = f"{where} (%), by {results.noise} in pre-training{ranges(results)}{_gaps(results)}"
    return Table(f"accuracy-{split}", caption, header, tuple(rows))


def _gaps(results: Results) -> str:
    """The reason why some methods have no numbers, for the end of a caption."""
    if not results.lacking:
        return ""
    return "; no numbers of " + "; ".join(f"{label} ({why})" for label, why in results.lacking.items())


def change_table(results: Results, split: str) -> Table:
    """Change of each method against itself on clean pre-training, in points."""
    where = "in-domain accuracy" if split == "id" else "accuracy under shift"
    columns = (*results.noisy_rates, NOISY)
    rows: list[tuple[Entry, ...]] = []
    for note in results.methods:
        found = [results.change(note.name, rate, split=split) for rate in columns]
        if any(found):
            rows.append((Entry(note.label), *(_difference(row) for row in found)))
    header = ("method", *(rate_text(rate) for rate in columns))
    caption = f"Change of {where} against clean pre-training (points, paired by seed{ranges(results, ', ')})"
    return Table(f"change-{split}", caption, header, tuple(rows))


def spectrum_table(results: Results) -> Table:
    """SVE, LSVR and effective rank of the frozen features, and the accuracy of pre-training."""
    rows = metric_rows(results, PRETRAINING, PRETRAINING_METRICS) + metric_rows(results, FEATURES, FEATURE_METRICS)
    header = ("metric", *(rate_text(rate) for rate in results.rates))
    caption = f"The pre-trained network and the spectrum of its frozen features{ranges(results)}"
    return Table("spectrum", caption, header, tuple(rows))


def metric_rows(
    results: Results, method: str, metrics: Sequence[tuple[str, str, float, int]]
) -> list[tuple[Entry, ...]]:
    """A row for each metric in-domain, then under shift: mean ± half-width at each rate."""
    rows: list[tuple[Entry, ...]] = []
    for split, where in (("id", ""), ("ood", ", under shift")):
        for metric, label, scale, digits in metrics:
            found = [results.find(method, rate, split=split, metric=metric) for rate in results.rates]
            if any(found):
                cells = (Entry(plus_minus(row, scale, digits) if row else "–") for row in found)
                rows.append((Entry(label + where), *cells))
    return rows


def paired_rows(
    pairs: Sequence[tuple[str, str]], heading: Callable[[str], str], line: Callable[[str, str], tuple[Entry, ...]]
) -> tuple[tuple[Entry, ...], ...]:
    """Under a heading for each method, a line for each of its baselines; empty lines are left out."""
    rows: list[tuple[Entry, ...]] = []
    for first, seconds in grouped(pairs).items():
        lines = [line(first, second) for second in seconds]
        told = [cells for cells in lines if any(cell.text != "–" for cell in cells[1:])]
        rows += [(Entry(heading(first)),), *told] if told else []
    return tuple(rows)


def difference_entries(row: SummaryRow | None) -> tuple[Entry, Entry]:
    """A difference with its interval, and Holm's p-value."""
    return interval_entry(row), Entry(p_text(row.p_holm) if row else "–")


def difference_table(results: Results) -> Table:
    """Each method against its baselines, averaged over the noisy rates, with intervals and Holm's p-value."""

    def line(method: str, baseline: str) -> tuple[Entry, ...]:
        found = [results.find(method, NOISY, baseline=baseline, split=split) for split in WHERE]
        return Entry(f"− {results.label(baseline)}"), *(entry for row in found for entry in difference_entries(row))

    rows = paired_rows(results.pairs, results.label, line)
    header = ("difference", "in-domain", "p (Holm)", "under shift", "p (Holm)")
    ranges = "95 % interval" if results.seeds > 1 else "one seed, no intervals"
    caption = f"{results.compared} baselines: paired differences, mean over the noisy rates (points, {ranges})"
    return Table("differences", caption, header, rows)


def difference_by_rate_table(results: Results, split: str) -> Table:
    """Paired differences at each rate, including those of the other baselines and the first one."""
    where = "in-domain" if split == "id" else "under shift"
    first = results.reference_method
    others = [(note.name, first) for note in results.methods if note.name != first]
    pairs = results.pairs + [pair for pair in others if pair not in results.pairs]
    columns = (*results.rates, NOISY)

    def line(method: str, baseline: str) -> tuple[Entry, ...]:
        found = [results.find(method, rate, baseline=baseline, split=split) for rate in columns]
        return Entry(f"− {results.label(baseline)}"), *map(_difference, found)

    rows = paired_rows(pairs, results.label, line)
    header = ("difference", *(rate_text(rate) for rate in columns))
    caption = f"Paired differences {where} at each noise rate (points{ranges(results, ', ')})"
    return Table(f"differences-{split}", caption, header, rows)


def grouped(pairs: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    """Group the pairs by their first element."""
    groups: dict[str, list[str]] = {}
    for method, baseline in pairs:
        groups.setdefault(method, []).append(baseline)
    return groups


def shift_table(results: Results) -> Table:
    """Change of the reference method under each shift."""
    method = results.reference_method
    columns = (*results.noisy_rates, NOISY)
    rows: list[tuple[Entry, ...]] = []
    for shift in results.shifts:
        clean = results.find(method, repr(0.0), split="ood", shift=shift)
        found = [results.change(method, rate, split="ood", shift=shift) for rate in columns]
        if any(found):
            rows.append((Entry(shift), Entry(plus_minus(clean) if clean else "–"), *map(_difference, found)))
    header = ("shift", f"accuracy at {rate_text('0')} (%)", *(rate_text(rate) for rate in columns))
    label = capitalized(results.label(method))
    caption = f"{label}: change against clean pre-training under each shift (points, paired by seed)"
    return Table("shifts", caption, header, tuple(rows))


def _count(results: Results) -> str:
    return f"mean of {len(results.shifts)} shifts" if len(results.shifts) != 1 else f"the shift “{results.shifts[0]}”"


def ranges(results: Results, join: str = "; ") -> str:
    """The explanation of ±, for the end of a caption."""
    if results.seeds < 2:
        return f"{join}one seed, no intervals"
    return f"{join}± 95 % interval over {results.seeds} seeds"


def _difference(row: SummaryRow | None) -> Entry:
    return Entry(signed_plus_minus(row), outcome(row)) if row else Entry("–")


def p_text(p_value: float) -> str:
    """A p-value without its leading zero."""
    if math.isnan(p_value):
        return "–"
    return "< .001" if p_value < 0.001 else f"{p_value:.3f}".removeprefix("0")
