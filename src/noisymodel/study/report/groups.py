"""Comparison of several groups of a study: the overview table, and accuracy by the number of shots."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from ..analysis.summary import NOISY, SOLVED, SummaryRow, is_variant
from ..rows import FEATURES
from .results import Results, grouped
from .tables import Line, Table, filled, lines
from .wording import WHERE, Entry, interval_entry, mean_entry, rate_text


def overview_tables(groups: Sequence[Results]) -> list[Table]:
    """The tables over several groups; none for a single group."""
    if len(groups) < 2:
        return []
    tables = [overview_table(groups)]
    for number, family in numbered_families(groups).items():
        tables += [shots_table(family, split, number) for split in WHERE]
    return filled(tables)


def overview_table(groups: Sequence[Results]) -> Table:
    """A line for each group: the effect of noise, the spectrum, and the gain of NMTune over the linear probe."""
    rows = tuple(_line(group) for group in groups)
    header = (
        "group",
        "seeds",
        "clean, in-domain (%)",
        "clean, under shift (%)",
        "slight noise, in-domain",
        "noise, under shift",
        "SVE",
        "best NMTune, in-domain",
        "best NMTune, under shift",
    )
    caption = "All groups: changes, and the best NMTune minus the linear probe, in points, 95 % intervals"
    return Table("overview", caption, header, rows)


def _line(results: Results) -> tuple[Entry, ...]:
    method = results.reference_method
    clean = [results.find(method, repr(0.0), split=split) for split in WHERE]
    slight = results.change(method, results.noisy_rates[0]) if results.noisy_rates else None
    entropy = results.change(FEATURES, NOISY, metric="singular_value_entropy")
    return (
        Entry(results.short),
        Entry(str(results.seeds)),
        *map(mean_entry, clean),
        interval_entry(slight),
        interval_entry(results.change(method, NOISY, split="ood")),
        Entry(interval_entry(entropy, 1, 2).text),
        *(_best(results, split) for split in WHERE),
    )


def _best(results: Results, split: str) -> Entry:
    """The largest difference of a variant of NMTune to the solved linear probe, or else to the reference method."""
    names = [note.name for note in results.methods]
    reference = next((name for name in SOLVED if name in names), results.reference_method)
    found = [results.find(note.name, NOISY, baseline=reference, split=split) for note in results.methods]
    rows: list[SummaryRow] = [row for row in found if row is not None and is_variant(row.method)]
    return interval_entry(max(rows, key=lambda row: row.mean, default=None))


def numbered_families(groups: Sequence[Results]) -> dict[str, list[Results]]:
    """Families of groups that differ only in the number of shots, under the end of their names.

    The end is a number if there are several families. The fewest shots come first, all labels last.
    """
    by_network = grouped((group.view[:4], group) for group in groups)
    families = [family for family in by_network.values() if len(family) > 1]
    return {
        f"-{place + 1}" if len(families) > 1 else "": sorted(family, key=lambda group: group.view.shots or inf)
        for place, family in enumerate(families)
    }


def shots_table(family: Sequence[Results], split: str, number: str = "") -> Table:
    """Accuracy of each method by the number of labels, mean over the noisy rates, and with clean pre-training."""
    results = family[-1]
    rows: list[Line] = []
    for rate, heading in ((repr(0.0), "clean pre-training"), (NOISY, rate_text(NOISY) + " rates")):
        told = lines(
            (note.label, [group.find(note.name, rate, split=split) for group in family]) for note in results.methods
        )
        rows += [(Entry(heading),), *told] if told else []
    caption = f"Accuracy {WHERE[split]} (%) by labels per class: {results.view.network}"
    header = ("method", *(shots_text(group.view.shots) for group in family))
    return Table(f"shots{number}-{split}", caption, header, tuple(rows))


def shots_text(shots: int) -> str:
    """A number of labels per class."""
    return str(shots) if shots else "all"
