"""The negative findings of a study, as sentences."""

from __future__ import annotations

from collections.abc import Mapping

from ..analysis.summary import NOISY, is_headline, is_variant
from .results import Results, changes_by_rate
from .wording import LEVEL, WHERE, Outcome, by_outcome, capitalized, listed, outcome, rate_text, signed


def shortfalls(results: Results) -> list[str]:
    """Sentences on methods without in-domain gain, shifts without harm, variants without gain, and remaining harm."""
    if results.seeds < 2:
        return ["The study ran one seed: there are no intervals, and no difference can be called significant."]
    parts = (_in_domain, _shifts, _variants, _harm_that_stays, _fails_holm)
    return [capitalized(sentence) for part in parts for sentence in part(results)]


def _in_domain(results: Results) -> list[str]:
    """Methods that do not gain from slight noise, and rates at which the reference method does not gain."""
    if not results.noisy_rates:
        return []
    rate = results.noisy_rates[0]
    start = f"Slight noise ({rate_text(rate)})"
    told = by_outcome((note.label, results.change(note.name, rate)) for note in results.methods)
    texts: Mapping[Outcome, tuple[str, str]] = {
        "not significant": (f"{start} makes no significant in-domain difference for ", "."),
        "loss": (f"{start} hurts in-domain for ", "."),
    }
    sentences = _sentences(told, texts)
    method = results.reference_method
    higher = list(changes_by_rate(results, method, "id").items())[1:]
    missing = [f"{rate_text(at)} ({signed(row.mean)})" for at, row in higher if outcome(row) != "gain"]
    if missing:
        sentences.append(f"{results.label(method)} has no significant in-domain gain at {listed(missing)}.")
    return sentences


def _shifts(results: Results) -> list[str]:
    """Shifts under which the slightest noise does no significant harm."""
    if not results.noisy_rates:
        return []
    method, rate = results.reference_method, results.noisy_rates[0]
    told = by_outcome((shift, results.change(method, rate, split="ood", shift=shift)) for shift in results.shifts)
    start = f"At {rate_text(rate)} noise {results.label(method)}"
    texts: Mapping[Outcome, tuple[str, str]] = {
        "not significant": (f"{start} has no significant loss under ", ": the interval includes zero."),
        "gain": (f"{start} gains under ", "."),
    }
    return _sentences(told, texts)


def _variants(results: Results) -> list[str]:
    """Baselines that a variant of NMTune does not beat."""
    sentences: list[str] = []
    for heading, comparisons in results.against_baselines():
        told = by_outcome(
            (f"{results.label(baseline)} {where}", results.find(method, NOISY, baseline=baseline, split=split))
            for split, where in WHERE.items()
            for _, method, baseline in comparisons
        )
        texts: Mapping[Outcome, tuple[str, str]] = {
            "not significant": (f"{heading}: no significant difference from ", "."),
            "loss": (f"{heading}: significantly worse than ", "."),
        }
        sentences += _sentences(told, texts)
    return sentences


def _sentences(told: Mapping[Outcome, list[str]], texts: Mapping[Outcome, tuple[str, str]]) -> list[str]:
    """For each outcome that there is, a sentence with its differences between its beginning and its end."""
    return [f"{start}{listed(told[kind])}{end}" for kind, (start, end) in texts.items() if told[kind]]


def _harm_that_stays(results: Results) -> list[str]:
    """The loss under shift that a variant of NMTune still has against its own clean pre-training."""
    method = results.reference_method
    base = results.change(method, NOISY, split="ood")
    variants = [note for note in results.methods if is_variant(note.name)]
    changes = ((note.label, results.change(note.name, NOISY, split="ood")) for note in variants)
    harmed = by_outcome(changes, "{} {}")["loss"]
    if base is None or outcome(base) != "loss" or not harmed:
        return []
    return [
        "The harm of noise under shift is not removed. Each against its own clean pre-training, mean over the noisy "
        f"rates, in points: {listed(harmed)}; {results.label(method)} {signed(base.mean)}."
    ]


def _fails_holm(results: Results) -> list[str]:
    """Headline comparisons that are significant alone but not after Holm's correction."""
    names: list[str] = []
    for variant, baseline in results.pairs:
        for split, where in WHERE.items():
            row = results.find(variant, NOISY, baseline=baseline, split=split)
            if row is not None and is_headline(row) and row.significant and row.p_holm > LEVEL:
                names.append(f"{results.label(variant)} − {results.label(baseline)} {where} (p = {row.p_holm:.2f})")
    if not names:
        return []
    return [f"Significant alone, but not after Holm's correction over all headline comparisons: {'; '.join(names)}."]
