"""Comparison of several groups of a study: names, the overview table, and accuracy by the number of shots."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from ..analysis.summary import NOISY, SOLVED, SummaryRow, is_variant
from ..rows import FEATURES
from .results import Results, View
from .tables import Line, Table, filled, lines
from .wording import WHERE, Entry, interval_entry, mean_entry, rate_text


class Named(NamedTuple):
    """A group with its names."""

    results: Results
    title: str
    """In words."""
    short: str
    """Its difference from the other groups, for axes."""
    slug: str
    """A name for files and anchors; empty for a single group."""

    @property
    def folder(self) -> str:
        """The subfolder of its figures and tables, with a slash; empty for a single group."""
        return f"{self.slug}/" if self.slug else ""


def named(shown: Sequence[Results]) -> list[Named]:
    """The groups with names that tell them apart."""
    several_data = len({results.view.data for results in shown}) > 1
    differing = [column for column in View._fields if len({getattr(results.view, column) for results in shown}) > 1]
    found: list[Named] = []
    taken: set[str] = set()
    for results in shown:
        view = results.view
        title = f"{view.data}: {view.title}" if several_data else view.title
        short = ", ".join(_said(view, column) for column in differing) or title
        slug = ""
        if len(shown) > 1:
            slug = base = re.sub(r"[^a-z0-9]+", "-", "-".join(map(str, view)).lower()).strip("-")[:80]
            place = 2
            while slug in taken:
                slug, place = f"{base}-{place}", place + 1
            taken.add(slug)
        found.append(Named(results, title, short, slug))
    return found


def _said(view: View, column: str) -> str:
    value = getattr(view, column)
    if column == "shots":
        return f"{value} labels per class" if value else "all labels"
    return f"{value} noise" if column == "noise_kind" else str(value)


def overview_tables(groups: Sequence[Named]) -> list[Table]:
    """The tables over several groups; none for a single group."""
    if len(groups) < 2:
        return []
    tables = [overview_table(groups)]
    for number, family in numbered_families(groups).items():
        tables += [shots_table(family, split, number) for split in WHERE]
    return filled(tables)


def overview_table(groups: Sequence[Named]) -> Table:
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


def _line(group: Named) -> tuple[Entry, ...]:
    results = group.results
    method = results.reference_method
    clean = [results.find(method, repr(0.0), split=split) for split in WHERE]
    slight = results.change(method, results.noisy_rates[0]) if results.noisy_rates else None
    entropy = results.change(FEATURES, NOISY, metric="singular_value_entropy")
    return (
        Entry(group.short),
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


def by_shots(groups: Sequence[Named]) -> list[list[Named]]:
    """Families of groups that differ only in the number of shots, fewest first (all labels last)."""
    families: dict[tuple[str, ...], list[Named]] = {}
    for group in groups:
        families.setdefault(group.results.view[:4], []).append(group)
    return [
        sorted(family, key=lambda group: (group.results.view.shots == 0, group.results.view.shots))
        for family in families.values()
        if len(family) > 1
    ]


def numbered_families(groups: Sequence[Named]) -> dict[str, list[Named]]:
    """The families `by_shots` under the end of their names: a number if there are several."""
    families = by_shots(groups)
    return {f"-{place + 1}" if len(families) > 1 else "": family for place, family in enumerate(families)}


def shots_table(family: Sequence[Named], split: str, number: str = "") -> Table:
    """Accuracy of each method by the number of labels, mean over the noisy rates, and with clean pre-training."""
    results = family[-1].results
    rows: list[Line] = []
    for rate, heading in ((repr(0.0), "clean pre-training"), (NOISY, rate_text(NOISY) + " rates")):
        told = lines(
            (note.label, [group.results.find(note.name, rate, split=split) for group in family])
            for note in results.methods
        )
        rows += [(Entry(heading),), *told] if told else []
    view = results.view
    group = f"{view.objective}, {view.architecture}, {view.noise_kind} noise"
    caption = f"Accuracy {WHERE[split]} (%) by labels per class: {group}"
    header = ("method", *(shots_text(group.results.view.shots) for group in family))
    return Table(f"shots{number}-{split}", caption, header, tuple(rows))


def shots_text(shots: int) -> str:
    """A number of labels per class."""
    return str(shots) if shots else "all"
