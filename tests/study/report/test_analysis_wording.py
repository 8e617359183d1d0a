"""The sentences follow the numbers, and claim no cause."""

from __future__ import annotations

import dataclasses

from noisymodel.study.analysis import correlate
from noisymodel.study.analysis.summary import summarize
from noisymodel.study.report.analysis_wording import analysis_sentences
from noisymodel.study.report.results import Results, bases, views
from study.report.synthetic_record import synthetic_record


def sentences(change=lambda found: found, **directions: object) -> list[str]:
    directions = {
        "seeds": tuple(range(6)), "rates": (0.0, 0.1, 0.3), "shifts": ("salt",), "drift": True, "spread": 0.002,
        "methods": ("linear_probe", "nmtune_tuned"), **directions,
    }  # fmt: skip
    record = synthetic_record(**directions)
    summary = summarize(record.table, record.shifts, bases(record.methods))
    found = [change(one) for one in correlate(record.table, resamples=50)]
    return analysis_sentences(Results(record, summary, views(summary)[0], found))


def at_the_same_rate(value: float, low: float, high: float):
    def change(found):
        return found._replace(value=value, low=low, high=high) if found.adjusted == "seed and rate" else found

    return change


def test_no_evidence_within_rates_is_said() -> None:
    found = sentences(at_the_same_rate(0.1, -0.3, 0.4))
    assert found[0].startswith("Correlation with accuracy in-domain (Linear probe), across noise rates within seeds")
    assert "SVE +" in found[0]
    assert "at the same rate +0.10 [−0.30,\u00a0+0.40]" in found[0]
    assert found[1].startswith("Correlation with accuracy under shift")
    assert found[2].startswith("Among networks of the same noise rate every interval includes zero")
    assert "too narrow" not in found[2]
    assert len(found) == 3


def test_association_within_rates_is_no_explanation() -> None:
    found = sentences(at_the_same_rate(0.6, 0.2, 0.8))[2]
    assert "SVE in-domain, LSVR in-domain, rotation in-domain, SVE under shift" in found
    assert "(6 of 6 looked at, not corrected for their number)" in found
    assert "not yet an explanation" in found


def test_few_seeds_are_warned_of() -> None:
    assert "With so few seeds" in sentences(at_the_same_rate(0.1, -0.3, 0.4), seeds=(1, 2, 3, 4))[2]
    assert "With so few seeds there are no intervals" in sentences(seeds=(1, 2))[2]


def test_ablation_is_told_after_holm() -> None:
    ablations = {"without_it": -0.05, "with_more": 0.05, "nothing": 0.0}
    found = sentences(ablations=ablations, generator_seed=2)[-2:]
    assert found[0].startswith("Ablation in-domain, after Holm's correction: a loss for without it (−")
    assert "; a gain for with more (+" in found[0]
    assert found[0].endswith("no significant difference for the other 1.")
    assert found[1].startswith("Ablation under shift")
    same = sentences(ablations={"nothing": 0.0}, generator_seed=3)[-1]
    assert same == "Ablation under shift, after Holm's correction: no significant difference for any of the 1."


def test_one_seed_says_nothing_of_the_ablation() -> None:
    assert not [text for text in sentences(seeds=(1,), ablations={"nothing": 0.0}) if text.startswith("Ablation")]


def test_without_rates_there_is_nothing_to_say() -> None:
    assert sentences(rates=(0.0, 0.1)) == []
    record = synthetic_record(seeds=(1, 2), rates=(0.0, 0.1), methods=("mlp",))
    summary = summarize(record.table, ())
    assert analysis_sentences(Results(dataclasses.replace(record), summary, views(summary)[0])) == []
