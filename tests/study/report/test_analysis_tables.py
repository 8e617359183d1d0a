"""Tables of the analysis hold what was computed."""

from __future__ import annotations

import math

import pytest

from noisymodel.study.analysis import correlate
from noisymodel.study.analysis.intervals import effect_size
from noisymodel.study.analysis.summary import summarize
from noisymodel.study.report.results import Results, bases, views
from noisymodel.study.report.tables import (
    ablation_by_rate_table,
    ablation_table,
    correlation_entry,
    correlation_table,
    correlation_tables,
    drift_table,
    effect_table,
    group_tables,
)
from noisymodel.study.report.wording import interval_entry, plus_minus
from study.report.synthetic_record import synthetic_record

ABLATIONS = {"ablation_no_covariance": -0.03, "ablation_residual": 0.0}


def made(**directions: object) -> Results:
    directions = {
        "seeds": (1, 2, 3, 4), "rates": (0.0, 0.1, 0.3), "shifts": ("salt", "thin"), "spread": 0.002,
        "methods": ("linear_probe", "mlp", "nmtune_tuned"), "ablations": ABLATIONS, "drift": True, **directions,
    }  # fmt: skip
    record = synthetic_record(**directions)
    summary = summarize(record.table, record.shifts, bases(record.methods))
    return Results(record, summary, views(summary)[0], correlate(record.table, resamples=50))


@pytest.fixture(scope="module")
def results() -> Results:
    return made()


def test_drift(results: Results) -> None:
    table = drift_table(results)
    assert [row[0].text for row in table.rows] == [
        "subspace rotation (degrees)", "subspace rotation (degrees), under shift", "linear CKA",
        "linear CKA, under shift",
    ]  # fmt: skip
    row = results.find("features", "0.3", metric="subspace_rotation")
    assert row is not None
    assert table.rows[0][3].text == plus_minus(row, 1, 1)
    assert drift_table(made(drift=False)).rows == ()


def test_correlations_are_of_the_in_domain_features(results: Results) -> None:
    table = correlation_table(results, "ood", "seed and rate", "spearman")
    assert table.header == ("method", "SVE", "LSVR", "effective rank", "rotation", "CKA")
    assert [row[0].text for row in table.rows] == [
        "Linear probe", "MLP", "NMTune, tuned weights", "ablation no covariance", "ablation residual",
    ]  # fmt: skip
    expected = next(
        found for found in results.correlations
        if (found.method, found.measure, found.measure_split, found.split, found.adjusted, found.kind)
        == ("mlp", "subspace_rotation", "id", "ood", "seed and rate", "spearman")
    )  # fmt: skip
    assert table.rows[1][4] == correlation_entry(expected)
    assert "among networks of the same noise rate (12 networks; 95 % bootstrap interval over seeds)" in table.caption
    assert len({table.name for kind in ("pearson", "spearman") for table in correlation_tables(results, kind)}) == 8


def test_coefficients_have_no_colour_and_true_minus_signs(results: Results) -> None:
    found = next(found for found in results.correlations if found.split == "ood" and found.adjusted == "seed")
    entry = correlation_entry(found._replace(value=-0.5, low=-0.75, high=0.25))
    assert entry == ("−0.50 [−0.75,\u00a0+0.25]", None)
    assert correlation_entry(found._replace(value=0.5, low=math.nan)).text == "+0.50"
    assert correlation_entry(found._replace(value=math.nan)).text == correlation_entry(None).text == "–"


def test_ablation(results: Results) -> None:
    table = ablation_table(results)
    assert [row[0].text for row in table.rows] == [
        "against NMTune, tuned weights", "ablation no covariance", "ablation residual",
    ]  # fmt: skip
    row = results.find("ablation_no_covariance", "noisy", baseline="nmtune_tuned", split="ood")
    assert row is not None
    assert table.rows[1][3] == interval_entry(row)
    assert table.rows[1][3].outcome == "loss"
    by_rate = ablation_by_rate_table(results, "id")
    assert by_rate.header == ("ablation", "0\u00a0%", "10\u00a0%", "30\u00a0%", "mean of noisy")
    row = results.find("ablation_residual", "0.0", baseline="nmtune_tuned")
    assert by_rate.rows[2][1] == interval_entry(row)


def test_ablations_stand_apart_from_methods(results: Results) -> None:
    assert [note.name for note in results.methods] == ["linear_probe", "mlp", "nmtune_tuned"]
    assert [note.name for note in results.ablations] == list(ABLATIONS)
    alone = made(methods=("mlp",), ablations={"ablation_residual": 0.0})
    assert [note.name for note in alone.methods] == ["mlp", "ablation_residual"]
    assert alone.ablations == ()


def test_effects(results: Results) -> None:
    table = effect_table(results)
    assert [row[0].text for row in table.rows] == ["NMTune, tuned weights", "− Linear probe", "− MLP"]
    row = results.find("nmtune_tuned", "noisy", baseline="mlp")
    assert row is not None
    numbers = [f"{number:+.1f}".replace("-", "−") for number in effect_size(row.mean, row.low, row.high, 4)]
    assert table.rows[2][1].text == f"{numbers[0]} [{numbers[1]},\u00a0{numbers[2]}]"
    assert effect_table(made(seeds=(1,))).rows == ()


def test_what_there_is_not_has_no_table() -> None:
    results = made(rates=(0.0, 0.1), drift=False, ablations={}, methods=("mlp",))
    tables = group_tables(results)
    assert tables["analysis"] == tables["more_analysis"] == []
