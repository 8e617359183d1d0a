"""The verdict follows the signs and the significance, whatever they are."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from noisymodel.study.analysis.summary import is_headline, summarize
from noisymodel.study.report.results import Results, views
from noisymodel.study.report.verdict import Finding, findings
from study.report.synthetic_record import GAIN, REPORT_SHIFTS, synthetic_record


def verdict(**directions: object) -> list[Finding]:
    directions.setdefault("seeds", tuple(range(5)))
    directions.setdefault("spread", 0.002)
    directions.setdefault("shifts", REPORT_SHIFTS[:3])
    record = synthetic_record(**directions)
    summary = summarize(record.table, record.shifts)
    return findings(Results(record, summary, views(summary)[0]))


def of(found: list[Finding], start: str) -> Finding:
    matching = [finding for finding in found if finding.question.startswith(start)]
    assert len(matching) == 1
    return matching[0]


@pytest.mark.parametrize(
    ("change", "words", "tone"),
    [(0.04, "Yes, it helps: +", "yes"), (-0.04, "No, it hurts: −", "no"), (0.0, "No significant difference", "open")],
)
def test_slight_noise(change: float, words: str, tone: str) -> None:
    finding = of(verdict(id_change=change), "Does slight label noise in pre-training (5\u00a0%)")
    assert finding.answer.startswith(words)
    assert "[" in finding.answer
    assert finding.tone == tone
    assert [row[0].text for row in finding.evidence] == ["5\u00a0%", "10\u00a0%", "20\u00a0%", "30\u00a0%"]


@pytest.mark.parametrize(
    ("changes", "tone"),
    [({"linear": 0.0}, "mixed"), ({"linear": 0.04}, "yes"), ({"linear": 0.04, "kernel": 0.0}, "yes")],
)
def test_a_gain_that_no_solved_probe_has_is_one_of_training(changes: dict[str, float], tone: str) -> None:
    directions = {"seeds": tuple(range(5)), "spread": 0.002, "shifts": REPORT_SHIFTS[:3]}
    record = synthetic_record(**directions, id_change=0.04, methods=("linear_probe",))
    for name, change in changes.items():
        solved = synthetic_record(**directions, id_change=change, methods=("linear_probe",))
        rows = [row._replace(method=name) for row in solved.table if row.method == "linear_probe"]
        notes = [note._replace(name=name, label=f"Solved {name}") for note in solved.methods]
        record = replace(record, table=(*record.table, *rows), methods=(*record.methods, *notes))
    summary = summarize(record.table, record.shifts)
    finding = of(findings(Results(record, summary, views(summary)[0])), "Does slight")
    assert finding.tone == tone
    assert ("no significant gain for Solved linear (" in finding.answer) == (tone == "mixed")
    assert ("no significant gain for Solved linear (" in finding.sentence) == (tone == "mixed")


def test_the_other_methods_are_told_apart() -> None:
    remark = of(verdict(id_change=0.04), "Does slight").remark
    assert "a gain for Linear probe, 120 epochs +" in remark
    assert "no significant difference" not in remark
    remark = of(verdict(id_change=-0.04), "Does slight").remark
    assert "a loss for" in remark
    assert "a gain" not in remark


@pytest.mark.parametrize(
    ("change", "answer", "tone"),
    [
        (-0.05, "Yes, at every rate.", "yes"),
        (0.05, "No, it helps at every rate.", "no"),
        ({0.0: 0, 0.05: -0.05, 0.1: -0.05, 0.2: 0.05, 0.3: 0.05},
         "It hurts at 5\u00a0% and 10\u00a0%; it helps at 20\u00a0% and 30\u00a0%.", "mixed"),
        ({0.0: 0, 0.05: 0.05, 0.1: 0, 0.2: 0.05, 0.3: 0.05},
         "It helps at 5\u00a0%, 20\u00a0% and 30\u00a0%; not significant at 10\u00a0%.", "no"),
    ],
)  # fmt: skip
def test_noise_under_shift(change: object, answer: str, tone: str) -> None:
    finding = of(verdict(ood_change=change), "Does noise hurt")
    assert (finding.answer, finding.tone) == (answer, tone)
    assert finding.remark == "Mean over 3 shifts."


def test_no_change_under_shift() -> None:
    found = verdict(ood_change=0.0, spread=0.01, generator_seed=2, methods=("linear_probe",), spectral_rise=0.0)
    finding = of(found, "Does noise hurt")
    assert (finding.answer, finding.tone) == ("No significant difference at any rate.", "open")


@pytest.mark.parametrize(
    ("change", "answer", "tone"), [(-0.05, "Yes, at 10\u00a0%.", "yes"), (0.05, "No, it helps.", "no")]
)
def test_one_noise_rate(change: float, answer: str, tone: str) -> None:
    finding = of(verdict(ood_change=change, rates=(0.0, 0.1)), "Does noise hurt")
    assert (finding.answer, finding.tone) == (answer, tone)


@pytest.mark.parametrize(
    ("rise", "answer", "tone"),
    [
        (0.1, "SVE and LSVR: both up at every rate.", "yes"),
        (-0.1, "SVE and LSVR: both down at every rate.", "no"),
        (0.0, "SVE and LSVR: both without significant change.", "open"),
    ],
)
def test_spectrum(rise: float, answer: str, tone: str) -> None:
    found = verdict(ood_change=0.0, spread=0.01, generator_seed=3, methods=("linear_probe",), spectral_rise=rise)
    finding = of(found, "Do SVE")
    assert (finding.answer, finding.tone) == (answer, tone)
    assert re.fullmatch(r"3\.2\d( → \d\.\d\d){4}", finding.evidence[0][1].text)


def gains(value: float) -> dict[str, float]:
    return {name: value if name == "nmtune_tuned" else 0.0 for name in GAIN}


@pytest.mark.parametrize(
    ("gain", "answer", "tone"),
    [
        (0.05, "In-domain a gain over all 4 baselines; under shift a gain over all 4 baselines.", "yes"),
        (-0.05, "In-domain a loss against all 4 baselines; under shift a loss against all 4 baselines.", "no"),
    ],
)
def test_variants_of_nmtune(gain: float, answer: str, tone: str) -> None:
    finding = of(verdict(gain=gains(gain)), "NMTune, tuned weights")
    assert (finding.answer, finding.tone) == (answer, tone)
    assert finding.header == ("difference (points)", "in-domain", "under shift")
    assert {cell.outcome for row in finding.evidence for cell in row[1:]} == {"gain" if gain > 0 else "loss"}


def test_holms_correction_is_told() -> None:
    assert of(verdict(gain=gains(0.05)), "NMTune, tuned").remark.startswith("What is significant here stays so")
    found = verdict(spread=0.02, generator_seed=3, seeds=tuple(range(5)))
    remarks = [finding.remark for finding in found if finding.question.startswith("NMTune")]
    assert any(remark.startswith("Not significant after Holm's correction: − ") for remark in remarks)
    assert {finding.remark for finding in verdict(seeds=(1,)) if "NMTune" in finding.question} == {""}


def test_a_variant_between_its_baselines() -> None:
    gain = {"linear_probe": 0, "mlp": 0.1, "nmtune_tuned": 0.05}
    finding = of(verdict(gain=gain, methods=("linear_probe", "mlp", "nmtune_tuned")), "NMTune")
    expected = "In-domain 1 gain and 1 loss, of 2 baselines; under shift 1 gain and 1 loss, of 2 baselines."
    assert (finding.answer, finding.tone) == (expected, "mixed")


def test_no_difference_at_all() -> None:
    found = verdict(gain=dict.fromkeys(GAIN, 0.0), methods=("mlp", "nmtune_tuned"), spread=0.01, generator_seed=2)
    finding = of(found, "NMTune")
    words = "no significant difference from the one baseline"
    assert (finding.answer, finding.tone) == (f"In-domain {words}; under shift {words}.", "open")


def test_one_seed_says_nothing_for_sure() -> None:
    found = verdict(seeds=(1,))
    assert {finding.tone for finding in found} == {"open"}
    assert all(finding.answer.startswith("It cannot be told from one seed") for finding in found)
    assert "[" not in found[0].answer
    assert "accuracy is lower at 5\u00a0%, 10\u00a0%, 20\u00a0% and 30\u00a0%" in of(found, "Does noise").answer


def test_without_a_clean_rate_only_methods_are_judged() -> None:
    found = verdict(rates=(0.1, 0.2))
    assert all(
        finding.question.startswith("NMTune") and finding.question.endswith(": does it help?") for finding in found
    )
    assert len(found) == 3


def test_without_noise_there_is_no_verdict() -> None:
    assert verdict(rates=(0.0,)) == []


def test_without_a_linear_probe_the_next_plain_method_judges_noise() -> None:
    finding = of(verdict(methods=("nmtune_tuned", "mlp")), "Does slight")
    assert finding.header == ("noise", "change of MLP (points)")


def test_without_baselines_variants_are_not_judged() -> None:
    found = verdict(methods=("nmtune_tuned",))
    assert not [finding for finding in found if finding.question.startswith("NMTune")]
    assert "NMTune" in of(found, "Does slight").header[1]


def test_each_finding_is_one_sentence() -> None:
    """What stands first on the page."""
    changes: list[dict[str, object]] = [{}, {"id_change": 0.0, "ood_change": 0.0, "spectral_rise": 0.0}]
    for directions in [*changes, {"id_change": -0.05, "ood_change": 0.05}, {"seeds": (1,)}]:
        for finding in verdict(**directions):
            assert finding.sentence.endswith("."), finding
            assert finding.sentence[0].isupper()
            assert ". " not in finding.sentence, finding.sentence
    told = [finding.sentence for finding in verdict()]
    assert told[0].startswith("Slight label noise in pre-training (5\u00a0%) helps in-domain: +3")
    assert told[1] == "Noise hurts under distribution shift at every rate."
    assert told[2] == "With noise SVE and LSVR both are up at every rate."


def test_the_verdict_goes_by_holm_s_correction() -> None:
    """A loss that is significant alone, and not among all comparisons, is open."""
    record = synthetic_record()
    summary = summarize(record.table, record.shifts)
    weak = [
        row._replace(mean=-0.01, low=-0.02, high=-0.001, p_value=0.04, p_holm=0.3, significant=True)
        if is_headline(row) and row.method == "nmtune_paper"
        else row
        for row in summary
    ]
    (view,) = views(summary)
    found = {one.question: one for one in findings(Results(record, weak, view))}
    paper = found["NMTune, paper's weights: does it help?"]
    assert paper.tone == "open"
    assert "Not significant after Holm's correction" in paper.remark
