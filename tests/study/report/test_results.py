"""Look-ups into a summary."""

from __future__ import annotations

import math

import pytest

from noisymodel.study.analysis.summary import summarize
from noisymodel.study.report.results import Results, View, changes_by_rate, views
from noisymodel.study.rows import Row
from study.report.synthetic_record import METHODS, REPORT_SHIFTS, synthetic_record


def results(**directions: object) -> Results:
    directions.setdefault("seeds", (1, 2))
    record = synthetic_record(**directions)
    summary = summarize(record.table, record.shifts)
    return Results(record, summary, views(summary)[0])


def test_methods_rates_and_shifts_stand_in_order() -> None:
    found = results(rates=(0.3, 0.0, 0.1))
    assert found.methods == METHODS
    assert found.rates == ("0.0", "0.1", "0.3")
    assert found.noisy_rates == ("0.1", "0.3")
    assert found.shifts == REPORT_SHIFTS
    assert found.seeds == 2


def test_find_defaults_to_the_clean_shift_and_the_mean_shift() -> None:
    found = results()
    inside, outside = found.find("mlp", "0.1"), found.find("mlp", "0.1", split="ood")
    assert inside is not None
    assert outside is not None
    assert (inside.shift, outside.shift) == ("none", "mean")
    one = found.find("mlp", "0.1", split="ood", shift="salt")
    assert one is not None
    assert one.shift == "salt"
    assert found.find("mlp", "0.7") is None
    assert found.find("mlp", "0.1", metric="effective_rank") is None


def test_changes_by_rate_leave_out_the_clean_rate() -> None:
    found = results()
    changes = changes_by_rate(found, "mlp", "ood")
    assert list(changes) == ["0.05", "0.1", "0.2", "0.3"]
    assert all(row.baseline == "clean" and row.split == "ood" for row in changes.values())


@pytest.mark.parametrize(
    ("methods", "reference"),
    [(("mlp", "linear_probe"), "linear_probe"), (("nmtune_paper", "mlp"), "mlp"), (("nmtune_paper",), "nmtune_paper")],
)
def test_the_reference_method(methods: tuple[str, ...], reference: str) -> None:
    assert results(methods=methods).reference_method == reference


def test_pairs_are_variants_and_the_baselines_present() -> None:
    assert results(methods=("mlp", "nmtune_paper", "linear_probe_long")).pairs == [("nmtune_paper", "mlp")]


def test_a_method_without_a_note_goes_by_its_name() -> None:
    record = synthetic_record(seeds=(1,), rates=(0.0,), methods=("mlp",))
    row = Row("glyphs", "supervised", "mlp", "symmetric", 0.0, "new", 40, "id", "none", 1, "accuracy", 0.5)
    summary = summarize([*record.table, row], record.shifts)
    found = Results(record, summary, views(summary)[0])
    assert [note.name for note in found.methods] == ["mlp", "new"]
    assert found.label("new") == "new"
    assert found.label("mlp") == "MLP"


def test_numbers_of_shots_are_experiments_apart_the_most_labels_first() -> None:
    record = synthetic_record(seeds=(1, 2), shots=(10, 40), methods=("mlp",))
    summary = summarize(record.table, record.shifts)
    assert views(summary) == [View("glyphs", "supervised", "mlp", "symmetric", shots) for shots in (40, 10)]
    few = Results(record, summary, views(summary)[1])
    accuracy, features = few.find("mlp", "0.1"), few.find("features", "0.1", metric="effective_rank")
    assert accuracy is not None
    assert features is not None
    assert (accuracy.shots, features.shots) == (10, 0)


def with_neighbours(*methods: str) -> Results:
    """The synthetic study with some of its methods under other names."""
    names = {"mlp_tuned": "full_fine_tuning", "mlp_label_smoothing": "l2_sp", "nmtune_official": "nmtune_fine_tuning"}
    record = synthetic_record(seeds=(1, 2))
    table = [row._replace(method=names.get(row.method, row.method)) for row in record.table]
    table = [row for row in table if row.method in (*methods, "features", "pretraining")]
    summary = summarize(table, record.shifts)
    return Results(record, summary, views(summary)[0])


def test_methods_with_counterparts_are_compared_with_those() -> None:
    found = with_neighbours("linear_probe", "mlp", "full_fine_tuning", "l2_sp", "nmtune_fine_tuning", "nmtune_tuned")
    assert set(found.pairs) == {
        ("nmtune_tuned", "linear_probe"),
        ("nmtune_tuned", "mlp"),
        ("full_fine_tuning", "linear_probe"),
        ("l2_sp", "linear_probe"),
        ("l2_sp", "full_fine_tuning"),
        ("nmtune_fine_tuning", "linear_probe"),
        ("nmtune_fine_tuning", "full_fine_tuning"),
    }
    for method, baseline in found.pairs:
        row = found.find(method, "noisy", baseline=baseline, split="ood")
        assert row is not None
        assert not math.isnan(row.p_holm)
    assert found.compared == "Methods against their"
    assert with_neighbours("linear_probe", "mlp", "nmtune_tuned").compared == "NMTune against its"
    assert with_neighbours("linear_probe", "full_fine_tuning", "mlp").find("mlp", "noisy", baseline="linear_probe")
