"""What the page's chart is drawn from."""

from __future__ import annotations

import json

import pytest

from noisymodel.study.analysis.summary import summarize
from noisymodel.study.report.explorer import explorer_data
from noisymodel.study.report.results import Results, bases, views
from study.report.synthetic_record import synthetic_record


def data(**directions: object):
    directions = {"seeds": (1, 2, 3), "rates": (0.0, 0.1), "shifts": ("salt", "thin"), **directions}
    record = synthetic_record(**directions)
    summary = summarize(record.table, record.shifts, bases(record.methods))
    results = [Results(record, summary, view) for view in views(summary)]
    return explorer_data(results), results


def test_points_are_the_summary_in_percent() -> None:
    (group,), (results,) = data()
    assert group["rates"] == [0.0, 10.0]
    assert group["sets"] == [
        ("none", "in-domain"), ("mean", "mean of shifts"), ("shift:salt", "salt"), ("shift:thin", "thin"),
    ]  # fmt: skip
    row = results.find("mlp", "0.1", split="ood", shift="thin")
    assert row is not None
    expected = [100 * number for number in (row.mean, row.low, row.high)]
    assert group["values"]["mlp"]["shift:thin"]["accuracy"][1] == pytest.approx(expected, abs=1e-3)
    change = results.change("mlp", "0.1")
    assert change is not None
    assert group["values"]["mlp"]["none"]["change"][0] is None
    assert group["values"]["mlp"]["none"]["change"][1][0] == pytest.approx(100 * change.mean, abs=1e-3)
    json.dumps(group, allow_nan=False)


def test_one_seed_has_no_bounds() -> None:
    (group,), _ = data(seeds=(1,))
    assert len(group["values"]["mlp"]["mean"]["accuracy"][1]) == 1


def test_ablations_are_there_but_not_shown_at_first() -> None:
    (group,), _ = data(ablations={"ablation_x": 0.1})
    shown = {method["name"]: method["shown"] for method in group["methods"]}
    assert [name for name, there in shown.items() if not there] == ["ablation_x"]
    assert group["methods"][-1]["label"] == "NMTune, tuned weights: ablation x"
    looks = [(method["color"], method["shape"], method["dashed"]) for method in group["methods"]]
    assert len(set(looks)) == len(looks)


def test_no_shifts_are_no_mean_of_shifts() -> None:
    (group,), _ = data(shifts=())
    assert [key for key, _ in group["sets"]] == ["none"]
