"""The negative findings of a study, as sentences."""

from __future__ import annotations

from ..analysis.summary import NOISY, is_variant
from .results import Results, changes_by_rate
from .texts import sentences
from .wording import LEVEL, WHERE, by_outcome, outcome, rate_text, signed


def shortfalls(results: Results) -> list[str]:
    """Sentences on methods without in-domain gain, shifts without harm, variants without gain, and remaining harm."""
    if results.seeds < 2:
        return ["The study ran one seed: there are no intervals, and no difference can be called significant."]
    told = _slight_noise(results) if results.noisy_rates else []
    for heading, comparisons in results.against_baselines():
        differences = by_outcome(
            (f"{results.label(baseline)} {where}", results.find(method, NOISY, baseline=baseline, split=split))
            for split, where in WHERE.items()
            for _, method, baseline in comparisons
        )
        told += sentences(results, "variant_shortfalls", heading=heading, told=differences)
    return told + _remaining(results)


def _slight_noise(results: Results) -> list[str]:
    """Methods and rates without a gain in-domain, and shifts without harm by the slightest noise."""
    method, rate = results.reference_method, results.noisy_rates[0]
    changes = ((note.label, results.change(note.name, rate)) for note in results.methods)
    shifts = ((shift, results.change(method, rate, split="ood", shift=shift)) for shift in results.shifts)
    higher = list(changes_by_rate(results, method, "id").items())[1:]
    return sentences(
        results,
        "shortfalls",
        rate=rate_text(rate),
        told=by_outcome(changes),
        shifts=by_outcome(shifts),
        without_gain=[f"{rate_text(at)} ({signed(row.mean)})" for at, row in higher if outcome(row) != "gain"],
    )


def _remaining(results: Results) -> list[str]:
    """The loss under shift that variants of NMTune still have, and what is significant only before the correction."""
    base = results.change(results.reference_method, NOISY, split="ood")
    variants = [note for note in results.methods if is_variant(note.name)]
    changes = ((note.label, results.change(note.name, NOISY, split="ood")) for note in variants)
    harmful = base is not None and outcome(base) == "loss"
    lost: list[str] = []
    for variant, baseline in results.pairs:
        for split, where in WHERE.items():
            row = results.find(variant, NOISY, baseline=baseline, split=split)
            if row is not None and row.significant and row.p_holm > LEVEL:
                lost.append(f"{results.label(variant)} − {results.label(baseline)} {where} (p = {row.p_holm:.2f})")
    return sentences(
        results,
        "further_shortfalls",
        harmed=by_outcome(changes, "{} {}")["loss"] if harmful else [],
        harm=signed(base.mean) if base else "",
        lost=lost,
    )
