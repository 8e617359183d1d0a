"""The tables hold what the summary says."""

from __future__ import annotations

import pytest

from noisymodel.study.analysis.summary import NOISY, summarize
from noisymodel.study.report.results import Results, views
from noisymodel.study.report.tables import (
    accuracy_table,
    change_table,
    difference_by_rate_table,
    difference_table,
    shift_table,
    spectrum_table,
)
from noisymodel.study.report.wording import interval_entry, outcome, plus_minus, signed_plus_minus
from study.report.synthetic_record import METHODS, REPORT_SHIFTS, synthetic_record

RATES = ("0\u00a0%", "5\u00a0%", "10\u00a0%", "20\u00a0%", "30\u00a0%")


def made(**directions: object) -> Results:
    directions.setdefault("seeds", (1, 2, 3))
    record = synthetic_record(**directions)
    summary = summarize(record.table, record.shifts)
    return Results(record, summary, views(summary)[0])


@pytest.fixture(scope="module")
def results() -> Results:
    return made()


@pytest.mark.parametrize("split", ["id", "ood"])
def test_accuracy(results: Results, split: str) -> None:
    table = accuracy_table(results, split)
    assert table.header == ("method", *RATES)
    assert [row[0].text for row in table.rows] == [note.label for note in METHODS]
    expected = results.find("mlp", "0.1", split=split)
    assert expected is not None
    assert table.rows[2][3].text == plus_minus(expected)
    assert ("mean of 10 shifts" in table.caption) == (split == "ood")
    assert "3 seeds" in table.caption


@pytest.mark.parametrize("split", ["id", "ood"])
def test_changes(results: Results, split: str) -> None:
    table = change_table(results, split)
    assert table.header == ("method", *RATES[1:], "mean of noisy")
    expected = results.change("linear_probe", "0.3", split=split)
    assert expected is not None
    assert table.rows[0][4] == (signed_plus_minus(expected), outcome(expected))


def test_spectrum(results: Results) -> None:
    table = spectrum_table(results)
    headings = [row[0].text for row in table.rows]
    assert headings[:5] == ["clean accuracy (%)", "fit to the noisy labels (%)", "SVE", "LSVR", "effective rank"]
    assert headings[5:] == ["SVE, under shift", "LSVR, under shift", "effective rank, under shift"]
    assert table.rows[2][1].text.startswith("3.2")


def test_differences_stand_under_their_variant(results: Results) -> None:
    table = difference_table(results)
    groups = [row[0].text for row in table.rows if len(row) == 1]
    assert groups == ["NMTune, paper's weights", "NMTune, published code's weights", "NMTune, tuned weights"]
    assert [row[0].text for row in table.rows[1:5]] == [
        "− Linear probe", "− MLP", "− MLP, tuned learning rate", "− MLP, label smoothing",
    ]  # fmt: skip
    assert table.rows[1][1] == interval_entry(results.find("nmtune_paper", NOISY, baseline="linear_probe"))
    assert table.rows[1][3] == interval_entry(results.find("nmtune_paper", NOISY, baseline="linear_probe", split="ood"))


def test_differences_by_rate_hold_the_other_baselines_too(results: Results) -> None:
    table = difference_by_rate_table(results, "ood")
    groups = [row[0].text for row in table.rows if len(row) == 1]
    assert groups[-3:] == ["MLP", "MLP, tuned learning rate", "MLP, label smoothing"]
    expected = results.find("mlp", "0.05", baseline="linear_probe", split="ood")
    assert expected is not None
    last = table.rows[[row[0].text for row in table.rows].index("MLP") + 1]
    assert last[2] == (signed_plus_minus(expected), outcome(expected))


def test_shifts(results: Results) -> None:
    table = shift_table(results)
    assert [row[0].text for row in table.rows] == list(REPORT_SHIFTS)
    assert table.header[1] == "accuracy at 0\u00a0% (%)"
    expected = results.change("linear_probe", "0.3", split="ood", shift="salt")
    assert expected is not None
    assert table.rows[2][5].text == signed_plus_minus(expected)


def test_one_seed_and_one_shift_are_said() -> None:
    results = made(seeds=(1,), shifts=("salt",))
    table = accuracy_table(results, "ood")
    assert table.caption.startswith("Accuracy under shift, the shift “salt” (%)")
    assert table.caption.endswith("; one seed, no intervals")
    assert "±" not in table.rows[0][1].text
    assert difference_table(results).caption.endswith("(points, one seed, no intervals)")


def test_without_noise_the_tables_of_changes_are_empty() -> None:
    results = made(rates=(0.0,))
    assert [change_table(results, "id").rows, difference_table(results).rows, shift_table(results).rows] == [(), (), ()]
