"""The verdict of a study, in sentences derived from the signs and the significance of its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from ..analysis.intervals import holm
from ..analysis.summary import NOISY, SummaryRow
from ..rows import FEATURES
from .results import Results, changes_by_rate
from .wording import (
    LEVEL,
    WHERE,
    Entry,
    Outcome,
    after_holm,
    by_outcome,
    capitalized,
    certain,
    interval_entry,
    listed,
    outcome,
    rate_text,
    rates_text,
)

Tone = Literal["yes", "no", "mixed", "open"]
"""The mark of a finding after Holm's correction: the claim holds, does not hold, holds partly, or is undecided."""

_SHIFT = "under distribution shift"
METRICS = (("singular_value_entropy", "SVE"), ("largest_singular_value_ratio", "LSVR"))


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
    found += [_variant(results, variant) for variant in dict.fromkeys(variant for variant, _ in results.pairs)]
    return [finding for finding in found if finding is not None]


def _slight_noise(results: Results) -> Finding | None:
    method = results.reference_method
    changes = changes_by_rate(results, method, "id")
    if not changes:
        return None
    rate, row = next(iter(changes.items()))
    size = interval_entry(row).text
    what = f"slight {results.noise} in pre-training ({rate_text(rate)})"
    answers: dict[Outcome, tuple[str, str, Tone]] = {
        "gain": (f"Yes, it helps: {size} points.", f"{what} helps in-domain: {size} points", "yes"),
        "loss": (f"No, it hurts: {size} points.", f"{what} hurts in-domain: {size} points", "no"),
        "not significant": (
            f"No significant difference: {size} points.",
            f"{what} makes no significant difference in-domain: {size} points",
            "open",
        ),
        "no interval": (
            f"It cannot be told from one seed; here the change is {size} points.",
            f"one seed cannot tell whether {what} helps in-domain",
            "open",
        ),
    }
    answer, sentence, tone = answers[outcome(row)]
    question = f"Does {what} help in-domain?"
    return Finding(
        question, answer, _sentence([sentence]), tone, *_by_rate(results, changes), _across(results, method, rate)
    )


def _by_rate(results: Results, changes: dict[str, SummaryRow]) -> tuple[tuple[str, ...], tuple[tuple[Entry, ...], ...]]:
    header = ("noise", f"change of {results.label(results.reference_method)} (points)")
    return header, tuple((Entry(rate_text(rate)), interval_entry(row)) for rate, row in changes.items())


def _across(results: Results, but: str, rate: str) -> str:
    """A clause about the change of the other methods at a rate."""
    others = [note for note in results.methods if note.name != but]
    told = by_outcome(((note.label, results.change(note.name, rate)) for note in others), "{} {}")
    start: dict[Outcome, str] = {
        "gain": "a gain for",
        "loss": "a loss for",
        "not significant": "no significant difference for",
    }
    parts = [f"{words} {listed(told[said])}" for said, words in start.items() if told[said]]
    return f"The other methods at {rate_text(rate)}: {'; '.join(parts)}." if parts else ""


def _any_noise(results: Results) -> Finding | None:
    changes = changes_by_rate(results, results.reference_method, "ood")
    if not changes:
        return None
    answer, sentence, tone = _harm(changes)
    shifts = len(results.shifts)
    remark = f"Mean over {shifts} shifts." if shifts != 1 else f"One shift: {results.shifts[0]}."
    question = "Does noise hurt under distribution shift?"
    return Finding(question, _sentence([answer]), _sentence([sentence]), tone, *_by_rate(results, changes), remark)


def _harm(changes: dict[str, SummaryRow]) -> tuple[str, str, Tone]:
    """Whether noise hurts at each rate: as an answer, as a sentence, and its mark."""
    rates: dict[Outcome, list[str]] = {"loss": [], "gain": [], "not significant": [], "no interval": []}
    for rate, said in zip(changes, corrected(list(changes.values())), strict=True):
        rates[said].append(rate_text(rate))
    kinds = [said for said, there in rates.items() if there]
    if rates["no interval"]:
        falls = listed(rate_text(rate) for rate, row in changes.items() if row.mean < 0)
        answer = f"it cannot be told from one seed; here accuracy is lower at {falls or 'no rate'}"
        return answer, f"{_SHIFT}: {answer}", "open"
    every = " at every rate" if len(changes) > 1 else ""
    if kinds == ["loss"]:
        where = every or f" at {rates['loss'][0]}"
        return f"yes,{where}", f"noise hurts {_SHIFT}{where}", "yes"
    if kinds == ["gain"]:
        return f"no, it helps{every}", f"noise helps {_SHIFT}{every}", "no"
    if kinds == ["not significant"]:
        where = every.replace("every", "any")
        answer = "no significant difference"
        return f"{answer}{where}", f"noise makes {answer} {_SHIFT}{where}", "open"
    words: dict[Outcome, str] = {
        "loss": "it hurts at",
        "gain": "it helps at",
        "not significant": "not significant at",
    }
    answer = "; ".join(f"{words[said]} {listed(rates[said])}" for said in kinds)
    return answer, f"{_SHIFT}: {answer}", "mixed" if rates["loss"] else "no"


def _spectrum(results: Results) -> Finding | None:
    courses: dict[str, str] = {}
    everything: list[Outcome] = []
    evidence: list[tuple[Entry, ...]] = []
    for metric, name in METRICS:
        changes = changes_by_rate(results, FEATURES, "id", metric)
        if changes:
            outcomes = corrected(list(changes.values()))
            courses[name] = _course(outcomes)
            everything += outcomes
            levels = [results.find(FEATURES, rate, metric=metric) for rate in results.rates]
            steps = " → ".join(f"{row.mean:.2f}" for row in levels if row)
            evidence.append((Entry(name), Entry(steps), interval_entry(list(changes.values())[-1], 1, 2)))
    if not courses:
        return None
    if "no interval" in everything:
        answer, tone, sentence = "It cannot be told from one seed.", "open", "one seed cannot tell how spectra change"
    else:
        same = len(set(courses.values())) == 1 and len(courses) > 1
        told = f"{' and '.join(courses)} both are {next(iter(courses.values()))}"
        sentence = f"with noise {told if same else ', '.join(f'{name} is {said}' for name, said in courses.items())}"
        parts = [f"{' and '.join(courses)}: both {next(iter(courses.values()))}"] if same else []
        answer = _sentence(parts or [f"{name} {course}" for name, course in courses.items()])
        tone = _tone(everything)
    header = (
        "of the features",
        f"mean at {rates_text(results.rates)}",
        f"change at {rate_text(results.noisy_rates[-1])}",
    )
    return Finding("Do SVE and LSVR rise with noise?", answer, _sentence([sentence]), tone, header, tuple(evidence))


def _course(outcomes: Sequence[Outcome]) -> str:
    kinds = set(outcomes)
    if kinds == {"not significant"}:
        return "without significant change"
    if len(kinds) > 1:
        up, down = outcomes.count("gain"), outcomes.count("loss")
        return f"up at {up}, down at {down}, not significant at {len(outcomes) - up - down} of {len(outcomes)} rates"
    return ("up" if kinds == {"gain"} else "down") + (" at every rate" if len(outcomes) > 1 else "")


def _variant(results: Results, variant: str) -> Finding | None:
    baselines = [baseline for name, baseline in results.pairs if name == variant]
    rows = {
        (baseline, split): results.find(variant, NOISY, baseline=baseline, split=split)
        for baseline in baselines
        for split in WHERE
    }
    outcomes: list[Outcome] = [after_holm(row) for row in rows.values() if row is not None]
    if not outcomes:
        return None
    if "no interval" in outcomes:
        answer, tone = "It cannot be told from one seed.", "open"
    else:
        parts: list[str] = []
        for split, where in WHERE.items():
            there: list[Outcome] = [after_holm(row) for (_, at), row in rows.items() if at == split and row is not None]
            if there:
                parts.append(f"{where} {_score(there)}")
        answer, tone = _sentence(parts), _tone(outcomes)
    evidence = tuple(
        (Entry(f"− {results.label(baseline)}"), *(interval_entry(rows[baseline, split]) for split in WHERE))
        for baseline in baselines
    )
    header = ("difference (points)", *WHERE.values())
    remark = _after_holm(results, [row for row in rows.values() if row is not None and row.significant])
    label = capitalized(results.label(variant))
    sentence = f"{label}: {answer[:1].lower()}{answer[1:]}"
    return Finding(f"{label}: does it help?", answer, sentence, tone, header, evidence, remark)


def corrected(rows: Sequence[SummaryRow]) -> list[Outcome]:
    """The outcomes of the differences of one question, after Holm's correction over them."""
    p_values = holm([row.p_value for row in rows])
    return [certain(outcome(row), p) for row, p in zip(rows, p_values, strict=True)]


def _after_holm(results: Results, significant: Sequence[SummaryRow]) -> str:
    """A sentence about the significant differences that remain significant after Holm's correction."""
    lost = [f"− {results.label(row.baseline)} {WHERE[row.split]}" for row in significant if not row.p_holm <= LEVEL]
    if lost:
        return f"Not significant after Holm's correction: {listed(lost)}."
    return "What is significant here stays so after Holm's correction." if significant else ""


def _score(outcomes: Sequence[Outcome]) -> str:
    total = len(outcomes)
    every = "the one baseline" if total == 1 else f"all {total} baselines"
    if set(outcomes) == {"gain"}:
        return f"a gain over {every}"
    if set(outcomes) == {"loss"}:
        return f"a loss against {every}"
    if set(outcomes) == {"not significant"}:
        return f"no significant difference from {every.replace('all', 'any of the')}"
    counts = [
        (outcomes.count("gain"), "gain", "gains"),
        (outcomes.count("loss"), "loss", "losses"),
        (outcomes.count("not significant"), "not significant", "not significant"),
    ]
    parts = [f"{count} {one if count == 1 else many}" for count, one, many in counts if count]
    return f"{listed(parts)}, of {total} baselines"


def _tone(outcomes: Sequence[Outcome]) -> Tone:
    kinds = set(outcomes)
    if kinds == {"not significant"}:
        return "open"
    if kinds == {"gain"}:
        return "yes"
    return "mixed" if "gain" in kinds else "no"


def _sentence(parts: Sequence[str]) -> str:
    return capitalized("; ".join(parts)) + "."
