"""The verdict of a study, in sentences derived from the signs and the significance of its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from ..analysis.intervals import holm
from ..analysis.summary import NOISY, SummaryRow
from ..rows import FEATURES
from .results import Results, changes_by_rate
from .wording import WHERE, Entry, Outcome, capitalized, interval_entry, listed, outcome, rate_text, rates_text, signed

Tone = Literal["yes", "no", "mixed", "open"]
"""The mark of a finding after Holm's correction: the claim holds, does not hold, holds partly, or is undecided."""

_LEVEL = 0.05
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
    by_outcome: dict[Outcome, list[str]] = {"gain": [], "loss": [], "not significant": []}
    for note in results.methods:
        row = results.change(note.name, rate)
        if row is not None and note.name != but and (said := outcome(row)) != "no interval":
            by_outcome[said].append(f"{note.label} {signed(row.mean)}")
    start = {"gain": "a gain for", "loss": "a loss for", "not significant": "no significant difference for"}
    parts = [f"{start[said]} {listed(names)}" for said, names in by_outcome.items() if names]
    return f"The other methods at {rate_text(rate)}: {'; '.join(parts)}." if parts else ""


def _any_noise(results: Results) -> Finding | None:
    changes = changes_by_rate(results, results.reference_method, "ood")
    if not changes:
        return None
    answer, tone = _harm(changes)
    shifts = len(results.shifts)
    remark = f"Mean over {shifts} shifts." if shifts != 1 else f"One shift: {results.shifts[0]}."
    sentence = _sentence([_about_shift(answer.rstrip("."))])
    return Finding(
        "Does noise hurt under distribution shift?", answer, sentence, tone, *_by_rate(results, changes), remark
    )


def _about_shift(answer: str) -> str:
    """The answer to whether noise hurts under shift, as a sentence of its own."""
    where = "under distribution shift"
    if answer.startswith("Yes, "):
        return f"noise hurts {where} {answer.removeprefix('Yes, ')}"
    if answer.startswith("No, it helps"):
        return f"noise helps {where}{answer.removeprefix('No, it helps')}"
    if answer.startswith("No significant"):
        return f"noise makes no significant difference {where}{answer.removeprefix('No significant difference')}"
    return f"{where}: {answer[:1].lower()}{answer[1:]}"


def _harm(changes: dict[str, SummaryRow]) -> tuple[str, Tone]:
    """An answer about the harm of noise at each rate."""
    rates: dict[Outcome, list[str]] = {"loss": [], "gain": [], "not significant": [], "no interval": []}
    for rate, said in zip(changes, corrected(list(changes.values())), strict=True):
        rates[said].append(rate_text(rate))
    if rates["no interval"]:
        falls = [rate_text(rate) for rate, row in changes.items() if row.mean < 0]
        return f"It cannot be told from one seed; here accuracy is lower at {listed(falls) or 'no rate'}.", "open"
    several = len(changes) > 1
    if len(rates["loss"]) == len(changes):
        return ("Yes, at every rate." if several else f"Yes, at {rates['loss'][0]}."), "yes"
    if len(rates["gain"]) == len(changes):
        return ("No, it helps at every rate." if several else "No, it helps."), "no"
    if len(rates["not significant"]) == len(changes):
        return ("No significant difference at any rate." if several else "No significant difference."), "open"
    words: dict[Outcome, str] = {
        "loss": "it hurts at",
        "gain": "it helps at",
        "not significant": "not significant at",
    }
    return _sentence([f"{words[said]} {listed(rates[said])}" for said in words if rates[said]]), (
        "mixed" if rates["loss"] else "no"
    )


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


def after_holm(row: SummaryRow) -> Outcome:
    """The outcome of a headline comparison after Holm's correction over all of them."""
    return _certain(outcome(row), row.p_holm)


def corrected(rows: Sequence[SummaryRow]) -> list[Outcome]:
    """The outcomes of the differences of one question, after Holm's correction over them."""
    p_values = holm([row.p_value for row in rows])
    return [_certain(outcome(row), p) for row, p in zip(rows, p_values, strict=True)]


def _certain(said: Outcome, p_value: float) -> Outcome:
    return "not significant" if said in ("gain", "loss") and not p_value <= _LEVEL else said


def _after_holm(results: Results, significant: Sequence[SummaryRow]) -> str:
    """A sentence about the significant differences that remain significant after Holm's correction."""
    lost = [f"− {results.label(row.baseline)} {WHERE[row.split]}" for row in significant if not row.p_holm <= _LEVEL]
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
