"""The verdict of a study, in sentences derived from the signs and the significance of its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from ..analysis.intervals import holm
from ..analysis.summary import NOISY, SOLVED, SummaryRow
from ..rows import FEATURES
from .results import Results, changes_by_rate
from .tables import SPECTRAL
from .texts import rendered
from .wording import (
    LEVEL,
    WHERE,
    Entry,
    Outcome,
    after_holm,
    by_outcome,
    interval_entry,
    listed,
    outcome,
    rate_text,
    rates_text,
    sorted_by_outcome,
)

Tone = Literal["yes", "no", "mixed", "open"]
"""The mark of a finding after Holm's correction: the claim holds, does not hold, holds partly, or is undecided."""


class Finding(NamedTuple):
    """A question, its answer in words, and the numbers behind it."""

    question: str
    answer: str
    sentence: str
    """Question and answer in one sentence."""
    tone: Tone
    header: tuple[str, ...]
    evidence: tuple[tuple[Entry, ...], ...]
    """Rows under ``header``; the first cell of each is its heading."""
    remark: str = ""


def findings(results: Results) -> list[Finding]:
    """The verdict on each claim that the study has numbers for."""
    found = [_slight_noise(results), _any_noise(results), _spectrum(results)]
    found += [_variant(results, *group) for group in results.against_baselines()]
    return [finding for finding in found if finding is not None]


def _slight_noise(results: Results) -> Finding | None:
    method = results.reference_method
    changes = changes_by_rate(results, method, "id")
    if not changes:
        return None
    rate, row = next(iter(changes.items()))
    said = outcome(row)
    solved = ((note.label, results.change(note.name, rate)) for note in results.methods if note.name in SOLVED)
    told = by_outcome(solved)
    level = [] if told["gain"] else [text for texts in told.values() for text in texts]
    others = ((note.label, results.change(note.name, rate)) for note in results.methods if note.name != method)
    texts = rendered(
        results,
        "verdict.slight_noise",
        rate=rate_text(rate),
        size=interval_entry(row).text,
        said=said,
        level=level,
        reference=f"the {results.label(method)}",
        others=by_outcome(others, "{} {}"),
    )
    tone = "mixed" if said == "gain" and level else _tone([said])
    return _of_changes(results, changes, tone, texts)


def _any_noise(results: Results) -> Finding | None:
    changes = changes_by_rate(results, results.reference_method, "ood")
    if not changes:
        return None
    outcomes = corrected(list(changes.values()))
    rates = sorted_by_outcome(zip(map(rate_text, changes), outcomes, strict=True))
    kinds = [said for said, there in rates.items() if there]
    words: dict[Outcome, str] = {
        "loss": "it hurts at",
        "gain": "it helps at",
        "not significant": "not significant at",
    }
    texts = rendered(
        results,
        "verdict.any_noise",
        rates=rates,
        kinds=kinds,
        one=len(changes) == 1,
        falls=[rate_text(rate) for rate, row in changes.items() if row.mean < 0],
        parts=[f"{words[said]} {listed(rates[said])}" for said in kinds if said in words],
    )
    return _of_changes(results, changes, _tone(outcomes, claimed="loss"), texts)


def _of_changes(results: Results, changes: dict[str, SummaryRow], tone: Tone, texts: dict[str, str]) -> Finding:
    """A finding whose numbers are the changes of the reference method."""
    header = ("noise", f"change of {results.label(results.reference_method)} (points)")
    evidence = tuple((Entry(rate_text(rate)), interval_entry(row)) for rate, row in changes.items())
    return Finding(tone=tone, evidence=evidence, header=header, **texts)


def _spectrum(results: Results) -> Finding | None:
    courses: dict[str, str] = {}
    everything: list[Outcome] = []
    evidence: list[tuple[Entry, ...]] = []
    for metric, name in SPECTRAL.items():
        changes = changes_by_rate(results, FEATURES, "id", metric)
        if changes:
            outcomes = corrected(list(changes.values()))
            courses[name] = _course(outcomes)
            everything += outcomes
            steps = " → ".join(f"{row.mean:.2f}" for row in results.over_rates(FEATURES, metric=metric) if row)
            evidence.append((Entry(name), Entry(steps), interval_entry(list(changes.values())[-1], 1, 2)))
    if not courses:
        return None
    intervals = "no interval" not in everything
    both = courses["SVE"] if len(courses) == 2 and len(set(courses.values())) == 1 else ""
    texts = rendered(results, "verdict.spectrum", intervals=intervals, courses=courses, both=both)
    changed = f"change at {rate_text(results.noisy_rates[-1])}"
    header = ("of the features", f"mean at {rates_text(results.rates)}", changed)
    return Finding(tone=_tone(everything), header=header, evidence=tuple(evidence), **texts)


def _course(outcomes: Sequence[Outcome]) -> str:
    kinds = set(outcomes)
    if kinds == {"not significant"}:
        return "without significant change"
    if len(kinds) > 1:
        up, down = outcomes.count("gain"), outcomes.count("loss")
        return f"up at {up}, down at {down}, not significant at {len(outcomes) - up - down} of {len(outcomes)} rates"
    return ("up" if kinds == {"gain"} else "down") + (" at every rate" if len(outcomes) > 1 else "")


def _variant(results: Results, label: str, comparisons: Sequence[tuple[str, str, str]]) -> Finding | None:
    """The verdict on a method by its comparisons with its baselines, each in-domain and under shift."""
    rows = [
        [results.find(method, NOISY, baseline=baseline, split=split) for split in WHERE]
        for _, method, baseline in comparisons
    ]
    outcomes: dict[str, list[Outcome]] = {
        where: [after_holm(row) for row in column if row is not None]
        for where, column in zip(WHERE.values(), zip(*rows, strict=True), strict=True)
    }
    everything: list[Outcome] = [said for there in outcomes.values() for said in there]
    if not everything:
        return None
    intervals = "no interval" not in everything
    significant = [row for line in rows for row in line if row is not None and row.significant]
    lost = [row for row in significant if not row.p_holm <= LEVEL]
    texts = rendered(
        results,
        "verdict.variant",
        label=label,
        intervals=intervals,
        parts=[f"{where} {_score(there)}" for where, there in outcomes.items() if there and intervals],
        significant=significant,
        lost=[f"− {results.label(row.baseline)} {WHERE[row.split]}" for row in lost],
    )
    evidence = tuple(
        (Entry(heading), *map(interval_entry, line)) for (heading, *_), line in zip(comparisons, rows, strict=True)
    )
    header = ("difference (points)", *WHERE.values())
    return Finding(tone=_tone(everything), header=header, evidence=evidence, **texts)


def corrected(rows: Sequence[SummaryRow]) -> list[Outcome]:
    """The outcomes of the differences of one question, after Holm's correction over them."""
    p_values = holm([row.p_value for row in rows])
    return [after_holm(row._replace(p_holm=p)) for row, p in zip(rows, p_values, strict=True)]


def _score(outcomes: Sequence[Outcome]) -> str:
    total = len(outcomes)
    parts: list[str] = []
    for kind, many, whole, every in (
        ("gain", "gains", "a gain over", "all"),
        ("loss", "losses", "a loss against", "all"),
        ("not significant", "not significant", "no significant difference from", "any of the"),
    ):
        count = outcomes.count(kind)
        if count == total:
            return f"{whole} {'the one baseline' if total == 1 else f'{every} {total} baselines'}"
        parts += [f"{count} {kind if count == 1 else many}"] if count else []
    return f"{listed(parts)}, of {total} baselines"


def _tone(outcomes: Sequence[Outcome], claimed: Outcome = "gain") -> Tone:
    kinds = set(outcomes)
    if "no interval" in kinds or kinds == {"not significant"}:
        return "open"
    if kinds == {claimed}:
        return "yes"
    return "mixed" if claimed in kinds else "no"
