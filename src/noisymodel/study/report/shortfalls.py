"""The negative findings of a study, as sentences."""

from __future__ import annotations

from ..analysis.summary import NOISY, is_headline, is_variant
from .results import Results, changes_by_rate
from .wording import WHERE, Outcome, capitalized, listed, outcome, rate_text, signed


def shortfalls(results: Results) -> list[str]:
    """Sentences on methods without in-domain gain, shifts without harm, variants without gain, and remaining harm."""
    if results.seeds < 2:
        return ["The study ran one seed: there are no intervals, and no difference can be called significant."]
    sentences = [
        *_in_domain(results),
        *_shifts(results),
        *_variants(results),
        *_harm_that_stays(results),
        *_fails_holm(results),
    ]
    return [capitalized(sentence) for sentence in sentences]


def _in_domain(results: Results) -> list[str]:
    """Methods that do not gain from slight noise, and rates at which the reference method does not gain."""
    if not results.noisy_rates:
        return []
    rate = results.noisy_rates[0]
    rows = {note.label: results.change(note.name, rate) for note in results.methods}
    sentences: list[str] = []
    for kind, text in (("not significant", "makes no significant in-domain difference"), ("loss", "hurts in-domain")):
        names = [f"{label} ({signed(row.mean)})" for label, row in rows.items() if row and outcome(row) == kind]
        if names:
            sentences.append(f"Slight noise ({rate_text(rate)}) {text} for {listed(names)}.")
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
    by_outcome: dict[Outcome, list[str]] = {"not significant": [], "gain": [], "loss": [], "no interval": []}
    for shift in results.shifts:
        row = results.change(method, rate, split="ood", shift=shift)
        if row is not None:
            by_outcome[outcome(row)].append(f"{shift} ({signed(row.mean)})")
    start = f"At {rate_text(rate)} noise {results.label(method)}"
    sentences: list[str] = []
    if by_outcome["not significant"]:
        shifts = listed(by_outcome["not significant"])
        sentences.append(f"{start} has no significant loss under {shifts}: the interval includes zero.")
    if by_outcome["gain"]:
        sentences.append(f"{start} gains under {listed(by_outcome['gain'])}.")
    return sentences


def _variants(results: Results) -> list[str]:
    """Baselines that a variant of NMTune does not beat."""
    sentences: list[str] = []
    for variant in dict.fromkeys(variant for variant, _ in results.pairs):
        by_outcome: dict[Outcome, list[str]] = {"not significant": [], "loss": [], "gain": [], "no interval": []}
        for split, where in WHERE.items():
            for name, baseline in results.pairs:
                row = results.find(variant, NOISY, baseline=baseline, split=split) if name == variant else None
                if row is not None:
                    by_outcome[outcome(row)].append(f"{results.label(baseline)} {where} ({signed(row.mean)})")
        label = results.label(variant)
        if by_outcome["not significant"]:
            sentences.append(f"{label}: no significant difference from {listed(by_outcome['not significant'])}.")
        if by_outcome["loss"]:
            sentences.append(f"{label}: significantly worse than {listed(by_outcome['loss'])}.")
    return sentences


def _harm_that_stays(results: Results) -> list[str]:
    """The loss under shift that a variant of NMTune still has against its own clean pre-training."""
    method = results.reference_method
    base = results.change(method, NOISY, split="ood")
    if base is None or outcome(base) != "loss":
        return []
    rows = {note: results.change(note.name, NOISY, split="ood") for note in results.methods if is_variant(note.name)}
    harmed = [f"{note.label} {signed(row.mean)}" for note, row in rows.items() if row and outcome(row) == "loss"]
    if not harmed:
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
            if row is not None and is_headline(row) and row.significant and row.p_holm > 0.05:
                names.append(f"{results.label(variant)} − {results.label(baseline)} {where} (p = {row.p_holm:.2f})")
    if not names:
        return []
    return [f"Significant alone, but not after Holm's correction over all headline comparisons: {'; '.join(names)}."]
