"""The negative findings name what the numbers do not show, and nothing else."""

from __future__ import annotations

import dataclasses

from noisymodel.study.analysis.summary import summarize
from noisymodel.study.report.results import Results, views
from noisymodel.study.report.shortfalls import shortfalls
from study.report.synthetic_record import GAIN, REPORT_SHIFTS, synthetic_record


def sentences(**directions: object) -> list[str]:
    directions.setdefault("seeds", tuple(range(5)))
    directions.setdefault("spread", 0.002)
    directions.setdefault("shifts", REPORT_SHIFTS[:3])
    record = synthetic_record(**directions)
    summary = summarize(record.table, record.shifts)
    return shortfalls(Results(record, summary, views(summary)[0]))


def starting(found: list[str], start: str) -> str:
    matching = [sentence for sentence in found if sentence.startswith(start)]
    assert len(matching) == 1, found
    return matching[0]


def test_a_study_that_shows_everything_keeps_the_harm() -> None:
    gain = {name: 0.05 if name.startswith("nmtune") else 0.0 for name in GAIN}
    found = sentences(id_change=0.05, ood_change=-0.2, gain=gain)
    assert len(found) == 1
    assert found[0].startswith("The harm of noise under shift is not removed.")
    assert "Linear probe −" in found[0]


def test_no_in_domain_gain() -> None:
    found = sentences(id_change=0.0, spread=0.01)
    sentence = starting(found, "Slight noise (5\u00a0%) makes no significant in-domain difference")
    assert "Linear probe (" in sentence
    higher = starting(found, "Linear probe has no significant in-domain gain at 10\u00a0%")
    assert "30\u00a0% (" in higher


def test_in_domain_loss() -> None:
    assert "MLP (−" in starting(sentences(id_change=-0.05), "Slight noise (5\u00a0%) hurts in-domain for Linear probe")


def test_shifts_that_gain_or_do_not_suffer() -> None:
    gained = starting(sentences(ood_change=0.2), "At 5\u00a0% noise Linear probe gains under")
    assert all(shift in gained for shift in REPORT_SHIFTS[:3])
    spared = sentences(ood_change=0.0, spread=0.01)
    assert "the interval includes zero" in starting(spared, "At 5\u00a0% noise Linear probe has no significant loss")


def test_no_harm_is_no_harm_that_stays() -> None:
    assert not [text for text in sentences(ood_change=0.1) if text.startswith("The harm")]


def test_variants_that_do_not_beat_their_baselines() -> None:
    gain = {"linear_probe": 0.0, "mlp": 0.05, "nmtune_tuned": 0.0}
    found = sentences(gain=gain, methods=tuple(gain), spread=0.005)
    assert "MLP in-domain (−" in starting(found, "NMTune, tuned weights: significantly worse than")
    assert "Linear probe in-domain (" in starting(found, "NMTune, tuned weights: no significant difference from")


def test_what_fails_holm_is_named() -> None:
    found = sentences(spread=0.02, generator_seed=3)
    sentence = starting(found, "Significant alone, but not after Holm's correction")
    assert "(p = " in sentence


def test_one_seed_says_so_and_no_more() -> None:
    found = sentences(seeds=(1,))
    assert len(found) == 1
    assert found[0].startswith("The study ran one seed")


def test_without_noise_there_is_nothing_to_say() -> None:
    assert sentences(rates=(0.0,)) == []


def test_sentences_begin_with_a_capital() -> None:
    record = synthetic_record(seeds=(1, 2, 3), id_change=0.0, spread=0.05, shifts=REPORT_SHIFTS[:2])
    small = tuple(note._replace(label=note.label.lower()) for note in record.methods)
    summary = summarize(record.table, record.shifts)
    found = shortfalls(Results(dataclasses.replace(record, methods=small), summary, views(summary)[0]))
    assert len(found) > 2
    assert all(sentence[0].isupper() for sentence in found)
