"""Look-ups in a study's summary: numbers by name, and labels, rates and shifts in order."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Sequence
from typing import NamedTuple, TypeVar

from ..analysis import Correlation
from ..analysis.summary import BASELINES, CLEAN, MEAN_SHIFT, NOISY, SummaryRow, compared_with, is_variant
from ..rows import CLEAN_SHIFT, FEATURES, PRETRAINING, CurveRow, MethodNote, Row, StudyRecord
from .wording import listed

First = TypeVar("First", bound=Hashable)
Second = TypeVar("Second")

NOISE = {"supervised": "label noise", "contrastive": "caption noise", "masked_token": "token noise"}
"""The noisy part of the data, by objective."""


class View(NamedTuple):
    """One group of a study: the labels that all compared numbers share."""

    data: str
    objective: str
    architecture: str
    noise_kind: str
    shots: int

    def said(self, *columns: str) -> str:
        """Some of the labels for readers."""
        labels = f"{self.shots} labels per class" if self.shots else "all labels"
        words = self._asdict() | {"noise_kind": f"{self.noise_kind} noise", "shots": labels}
        return ", ".join(words[column] for column in columns)

    @property
    def network(self) -> str:
        """How the networks were pre-trained, for readers."""
        return self.said("objective", "architecture", "noise_kind")

    def holds(self, row: SummaryRow | Row | CurveRow) -> bool:
        """Whether a row is of this group; measures of networks and features count for all shots and tasks."""
        if (row.objective, row.architecture, row.noise_kind) != self[1:4]:
            return False
        if row.method == PRETRAINING:
            return row.data == self.data or self.data.startswith(f"{row.data}/")
        return row.data == self.data and (row.method == FEATURES or row.shots == self.shots)


Comparisons = list[tuple[str, list[tuple[str, str, str]]]]
"""Heading -> label, method and baseline of each comparison."""


class Results:
    """Look-ups into the summary of one view of a study, and its names.

    ``title`` are all its labels for readers, ``short`` those that differ from the other groups, for axes, and ``slug``
    is a name for files and anchors, empty for a single group.

    Args:
        record: the study.
        summary: the summary of ``record.table`` by `summarize`.
        view: the group; see `views`.
        correlations: the correlations of ``record.table`` by `correlate`.
    """

    def __init__(
        self,
        record: StudyRecord,
        summary: Sequence[SummaryRow],
        view: View,
        correlations: Sequence[Correlation] = (),
    ) -> None:
        self.record = record
        self.correlations = tuple(
            found for found in correlations if found[:4] == view[:4] and found.shots == view.shots
        )
        self.view = view
        shown = views(summary)
        differing = [column for column in View._fields if len({getattr(one, column) for one in shown}) > 1]
        words = view.said(*View._fields[1:])
        self.title = f"{view.data}: {words}" if "data" in differing else words
        self.short = view.said(*differing) or words
        self.slug = slugs(shown)[view] if len(shown) > 1 else ""
        rows = [row for row in summary if view.holds(row)]
        self.rows = tuple(rows)
        self._rows = {(row.method, row.noise_rate, row.baseline, row.split, row.shift, row.metric): row for row in rows}
        scored = dict.fromkeys(row.method for row in rows if row.metric == "accuracy")
        notes = {note.name: note for note in record.methods}
        named = [note for note in record.methods if note.name in scored]
        named += [MethodNote(name, name, "", "method") for name in scored if name not in notes]
        self.ablations = tuple(note for note in named if note.base in scored and not is_variant(note.name))
        self.methods = tuple(note for note in named if note not in self.ablations)
        self._labels = {note.name: note.label for note in named}
        self.rates = tuple(sorted({row.noise_rate for row in rows if row.noise_rate != NOISY}, key=float))
        self.noisy_rates = tuple(rate for rate in self.rates if float(rate) > 0)
        present = {row.shift for row in rows if row.metric == "accuracy"} - {CLEAN_SHIFT, MEAN_SHIFT}
        known = [note.name for note in record.shifts if note.name in present]
        self.shifts = (*known, *sorted(present - set(known)))
        self.seeds = max((row.seeds for row in rows), default=0)
        self.table = tuple(row for row in record.table if view.holds(row))
        self.curves = tuple(row for row in record.curves if view.holds(row))
        self.gaps = tuple(gap for gap in record.gaps if gap[:4] == view[:4] and gap.shots == view.shots)

    @property
    def folder(self) -> str:
        """The subfolder of its figures and tables, with a slash; empty for a single group."""
        return f"{self.slug}/" if self.slug else ""

    @property
    def noise(self) -> str:
        """The noisy part of the pre-training data."""
        return NOISE.get(self.view.objective, "noise")

    @property
    def lacking(self) -> dict[str, str]:
        """Label of a method without all seeds -> the missing seeds and the reason; it has no means or comparisons."""
        found: dict[str, str] = {}
        for note in self.record.methods:
            gaps = [gap for gap in self.gaps if gap.method == note.name]
            if gaps:
                seeds = listed(str(gap.seed) for gap in gaps)
                found[note.label] = f"{'seed' if len(gaps) == 1 else 'seeds'} {seeds}: {gaps[0].reason}"
        return found

    @property
    def reference_method(self) -> str:
        """The reference method for the effect of noise: the linear probe, or else the first that is not an NMTune."""
        names = [note.name for note in self.methods]
        plain = [name for name in names if not is_variant(name)]
        return next(iter([name for name in BASELINES[:1] if name in names] or plain or names))

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """All compared pairs (method, baseline); the methods are variants of NMTune, or have counterparts."""
        names = [note.name for note in self.methods]
        return [(name, baseline) for name in names for baseline in compared_with(name) if baseline in names]

    def against_baselines(self, pairs: Sequence[tuple[str, str]] | None = None) -> Comparisons:
        """The comparisons of each method with its baselines, by default all `pairs`."""
        return [
            (self.label(method), [(f"− {self.label(baseline)}", method, baseline) for baseline in baselines])
            for method, baselines in grouped(self.pairs if pairs is None else pairs).items()
        ]

    @property
    def against_full_methods(self) -> Comparisons:
        """The comparisons of the ablations and variants with the method that they vary."""
        return [
            (f"against {self.label(base)}", [(self.label(name), name, base) for name in names])
            for base, names in grouped((note.base, note.name) for note in self.ablations).items()
        ]

    @property
    def reference_correlations(self) -> dict[tuple[str, str, str], Correlation]:
        """(Measure, split, adjustment) -> Pearson's correlation of the in-domain features with the reference method."""
        return {
            (found.measure, found.split, found.adjusted): found
            for found in self.correlations
            if found.method == self.reference_method and found.measure_split == "id" and found.kind == "pearson"
        }

    @property
    def compared(self) -> str:
        """A description of the methods that come first in the pairs."""
        return "NMTune against its" if all(is_variant(name) for name, _ in self.pairs) else "Methods against their"

    def label(self, method: str) -> str:
        """The label of a method for readers."""
        return self._labels.get(method, method)

    def find(
        self,
        method: str,
        rate: str,
        *,
        baseline: str = "",
        split: str = "id",
        metric: str = "accuracy",
        shift: str | None = None,
    ) -> SummaryRow | None:
        """One row; ``shift`` defaults to none in-domain and to the mean of the shifts out of domain."""
        default = CLEAN_SHIFT if split == "id" else MEAN_SHIFT
        return self._rows.get((method, rate, baseline, split, shift or default, metric))

    def change(self, method: str, rate: str, **which: str) -> SummaryRow | None:
        """The change of a method against itself on clean pre-training; ``which`` as in `find`."""
        return self.find(method, rate, baseline=CLEAN, **which)

    def over_rates(self, method: str, **which: str) -> list[SummaryRow | None]:
        """The row at each noise rate; ``which`` as in `find`."""
        return [self.find(method, rate, **which) for rate in self.rates]


def grouped(pairs: Iterable[tuple[First, Second]]) -> dict[First, list[Second]]:
    """Group the pairs by their first element.

    >>> grouped([("a", 1), ("b", 2), ("a", 3)])
    {'a': [1, 3], 'b': [2]}
    """
    groups: dict[First, list[Second]] = {}
    for first, second in pairs:
        groups.setdefault(first, []).append(second)
    return groups


def views(summary: Sequence[SummaryRow]) -> list[View]:
    """The groups of a study in the order of the summary; of groups that differ only in shots, the most come first."""
    found = dict.fromkeys(
        View(row.data, row.objective, row.architecture, row.noise_kind, row.shots)
        for row in summary
        if row.method not in (FEATURES, PRETRAINING)
    )
    places = {head: place for place, head in enumerate(dict.fromkeys(view[:4] for view in found))}
    return sorted(found, key=lambda view: (places[view[:4]], view.shots != 0, -view.shots))


def slugs(shown: Sequence[View]) -> dict[View, str]:
    """A name for files and anchors for each group; those that would be equal have a number."""
    found: dict[View, str] = {}
    for view in shown:
        slug = base = re.sub(r"[^a-z0-9]+", "-", "-".join(map(str, view)).lower()).strip("-")[:80]
        place = 2
        while slug in found.values():
            slug, place = f"{base}-{place}", place + 1
        found[view] = slug
    return found


def changes_by_rate(results: Results, method: str, split: str, metric: str = "accuracy") -> dict[str, SummaryRow]:
    """The change of a method against clean pre-training at each rate above 0, slightest noise first."""
    found = {rate: results.change(method, rate, split=split, metric=metric) for rate in results.noisy_rates}
    return {rate: row for rate, row in found.items() if row is not None}


def bases(methods: Sequence[MethodNote]) -> dict[str, str]:
    """Method -> the method that it is a variation of."""
    return {note.name: note.base for note in methods if note.base}
