"""The summary: what is averaged, paired, compared and corrected, and in which groups."""

from __future__ import annotations

import math

import numpy as np
import pytest

from noisymodel.study.analysis.intervals import mean_interval, paired_interval
from noisymodel.study.analysis.summary import BASELINES, SummaryRow, is_ablation, is_headline, summarize
from noisymodel.study.rows import Row
from study.analysis.test_intervals import naive_holm
from study.report.synthetic_record import METHODS, RATES, REPORT_SHIFTS, joined, synthetic_record

THERE = [name for name in BASELINES if name in {note.name for note in METHODS}]


@pytest.fixture(scope="module")
def summary() -> list[SummaryRow]:
    record = synthetic_record(seeds=(1, 2, 3))
    return summarize(record.table, record.shifts)


def only(rows: list[SummaryRow], **wanted: object) -> SummaryRow:
    found = [row for row in rows if all(getattr(row, name) == value for name, value in wanted.items())]
    assert len(found) == 1, f"{len(found)} rows are {wanted}"
    return found[0]


def values(**wanted: object) -> dict[int, float]:
    record = synthetic_record(seeds=(1, 2, 3))
    gathered: dict[int, list[float]] = {}
    for row in record.table:
        if all(getattr(row, name) == value for name, value in wanted.items()):
            gathered.setdefault(row.seed, []).append(row.value)
    return {seed: float(np.mean(numbers)) for seed, numbers in gathered.items()}


def test_summary_has_the_columns_of_the_file() -> None:
    columns = (
        "data objective architecture noise_kind noise_rate method baseline shots split shift metric mean low high "
        "seeds p_value p_holm significant"
    )
    assert SummaryRow._fields == tuple(columns.split())


def test_a_mean_of_one_shift(summary: list[SummaryRow]) -> None:
    expected = mean_interval(list(values(method="mlp", noise_rate=0.1, metric="accuracy", shift="salt").values()))
    row = only(summary, method="mlp", noise_rate="0.1", baseline="", metric="accuracy", shift="salt")
    assert (row.mean, row.low, row.high, row.seeds) == (expected.mean, expected.low, expected.high, 3)
    assert row.significant is None
    assert math.isnan(row.p_value)
    assert math.isnan(row.p_holm)


def test_shifts_are_averaged_within_the_seed_first(summary: list[SummaryRow]) -> None:
    by_seed = values(method="mlp", noise_rate=0.1, metric="accuracy", split="ood")
    expected = mean_interval(list(by_seed.values()))
    row = only(summary, method="mlp", noise_rate="0.1", baseline="", metric="accuracy", shift="mean")
    np.testing.assert_allclose([row.mean, row.low, row.high], [expected.mean, expected.low, expected.high])


def test_change_against_clean_is_paired(summary: list[SummaryRow]) -> None:
    noisy = values(method="linear_probe", noise_rate=0.3, metric="accuracy", split="id")
    clean = values(method="linear_probe", noise_rate=0.0, metric="accuracy", split="id")
    expected = paired_interval(noisy, clean)
    row = only(summary, method="linear_probe", noise_rate="0.3", baseline="clean", metric="accuracy", split="id")
    np.testing.assert_allclose([row.mean, row.low, row.p_value], [expected.mean, expected.low, expected.p_value])
    assert row.significant is expected.excludes_zero


def test_noisy_is_the_mean_over_all_rates_above_zero(summary: list[SummaryRow]) -> None:
    per_rate = [values(method="nmtune_tuned", noise_rate=rate, metric="accuracy", split="ood") for rate in RATES[1:]]
    base = [values(method="mlp_tuned", noise_rate=rate, metric="accuracy", split="ood") for rate in RATES[1:]]
    differences = [np.mean([a[seed] - b[seed] for a, b in zip(per_rate, base, strict=True)]) for seed in (1, 2, 3)]
    expected = mean_interval(differences)
    row = only(summary, method="nmtune_tuned", baseline="mlp_tuned", noise_rate="noisy", split="ood")
    np.testing.assert_allclose([row.mean, row.low, row.high], [expected.mean, expected.low, expected.high])


def test_the_clean_rate_has_no_change_against_itself(summary: list[SummaryRow]) -> None:
    assert not [row for row in summary if row.baseline == "clean" and row.noise_rate == "0.0"]


def test_the_holm_family_is_the_headline(summary: list[SummaryRow]) -> None:
    family = [row for row in summary if not math.isnan(row.p_holm)]
    assert family == [row for row in summary if is_headline(row)]
    assert len(family) == 3 * len(THERE) * 2
    np.testing.assert_allclose([row.p_holm for row in family], naive_holm([row.p_value for row in family]))
    assert {(row.split, row.shift, row.noise_rate) for row in family} == {
        ("id", "none", "noisy"), ("ood", "mean", "noisy"),
    }  # fmt: skip


def test_the_other_baselines_are_compared_with_the_first(summary: list[SummaryRow]) -> None:
    pairs = {(row.method, row.baseline) for row in summary if row.baseline not in ("", "clean")}
    variants = [note.name for note in METHODS if note.name.startswith("nmtune")]
    expected = {(variant, baseline) for variant in variants for baseline in THERE}
    assert pairs == expected | {(name, "linear_probe") for name in THERE[1:]}


def test_nmtune_is_compared_with_convex_probes_too() -> None:
    record = synthetic_record(seeds=(1, 2, 3))
    convex = [row._replace(method=name) for name in ("linear", "kernel") for row in record.table if row.method == "mlp"]
    rows = [row for row in summarize([*record.table, *convex], record.shifts) if is_headline(row)]
    assert {row.baseline for row in rows if row.method == "nmtune_tuned"} == {*THERE, "linear", "kernel"}
    assert {row.baseline for row in rows if row.method == "kernel"} == {"linear_probe", "linear"}


def test_one_seed_gives_means_alone() -> None:
    record = synthetic_record(seeds=(1,))
    rows = summarize(record.table, record.shifts)
    assert all(math.isnan(row.low) and math.isnan(row.p_holm) and not row.significant for row in rows)
    assert only(rows, method="mlp", noise_rate="0.1", baseline="clean", split="id").seeds == 1


def test_without_clean_pretraining_there_are_no_changes() -> None:
    record = synthetic_record(seeds=(1, 2), rates=(0.1, 0.2))
    assert not [row for row in summarize(record.table, record.shifts) if row.baseline == "clean"]


def test_a_tuning_shift_in_the_table_is_refused() -> None:
    record = synthetic_record(seeds=(1, 2))
    row = record.table[-1]._replace(split="ood", shift="rotation")
    with pytest.raises(ValueError, match="must not report shift 'rotation'"):
        summarize([*record.table, row], record.shifts)


def without(table: tuple[Row, ...], **wanted: object) -> list[Row]:
    return [row for row in table if not all(getattr(row, name) == value for name, value in wanted.items())]


def test_a_number_given_twice_is_refused() -> None:
    record = synthetic_record(seeds=(1, 2))
    with pytest.raises(ValueError, match="each number once, got seed 1 of pretraining clean_accuracy"):
        summarize([*record.table, record.table[0]], record.shifts)


GONE: list[dict[str, object]] = [
    {"seed": 2, "method": "mlp", "noise_rate": 0.1, "split": "id"},
    {"seed": 2, "method": "mlp", "noise_rate": 0.0, "split": "id"},
    {"seed": 1, "method": "mlp", "split": "id"},
    {"seed": 2, "method": "mlp", "shift": "salt", "noise_rate": 0.2},
    {"method": "mlp", "shift": "salt", "noise_rate": 0.2},
    {"method": "mlp", "split": "id", "noise_rate": 0.2},
    {"seed": 2, "method": "mlp"},
]


def test_what_is_missing_is_a_gap_and_nothing_else_changes() -> None:
    record = synthetic_record(seeds=(1, 2))
    whole = summarize(record.table, record.shifts)
    plain = {row[:11]: row._replace(p_holm=0) for row in whole}
    for gone in GONE:
        rows = summarize(without(record.table, **gone), record.shifts)
        assert all(row.seeds == 2 for row in rows), gone
        left_out = set(plain) - {row[:11] for row in rows}
        assert left_out, gone
        assert all("mlp" in (key[5], key[6]) for key in left_out), gone
        same = [row for row in rows if not math.isnan(row.low)]
        assert all(plain[row[:11]] == row._replace(p_holm=0) for row in same if math.isnan(row.p_value) is False), gone


def test_a_seed_of_which_there_is_nothing_counts_for_nothing() -> None:
    record = synthetic_record(seeds=(1, 2, 3))
    rows = summarize(without(record.table, seed=3), record.shifts)
    fewer = synthetic_record(seeds=(1, 2))
    assert {row[:11] for row in rows} == {row[:11] for row in summarize(fewer.table, fewer.shifts)}
    assert {row.seeds for row in rows} == {2}


def test_shifts_without_description_are_reported_all_the_same() -> None:
    record = synthetic_record(seeds=(1, 2), shifts=REPORT_SHIFTS[:2])
    assert summarize(record.table, ()) == summarize(record.table, record.shifts)


def test_groups_do_not_mix() -> None:
    one = synthetic_record(seeds=(1, 2), rates=(0.0, 0.1), shifts=("salt",), methods=("mlp",))
    other = synthetic_record(
        seeds=(1, 2, 3), rates=(0.0, 0.2, 0.3), shifts=("thin", "edge"), methods=("mlp",), objective="contrastive",
        data="glyphs/fine", generator_seed=2,
    )  # fmt: skip
    both = summarize(joined(one, other).table, ())
    assert sorted(both, key=repr) == sorted([*summarize(one.table, ()), *summarize(other.table, ())], key=repr)


def test_holms_family_spans_the_groups() -> None:
    methods = ("linear_probe", "nmtune_tuned")
    records = [
        synthetic_record(seeds=(1, 2, 3), rates=(0.0, 0.1), shifts=("salt",), methods=methods, objective=name,
                         spread=0.02, generator_seed=seed)
        for seed, name in enumerate(("supervised", "contrastive"))
    ]  # fmt: skip
    family = [row for row in summarize(joined(*records).table, ()) if is_headline(row)]
    assert len(family) == 4
    np.testing.assert_allclose([row.p_holm for row in family], naive_holm([row.p_value for row in family]))


def test_variations_are_compared_with_their_base_in_a_family_of_their_own() -> None:
    bases = {"ablation_a": "nmtune_tuned", "ablation_b": "nmtune_tuned"}
    directions = {"seeds": (1, 2, 3), "rates": (0.0, 0.1), "shifts": ("salt",), "spread": 0.02}
    methods = ("linear_probe", "nmtune_tuned")
    record = synthetic_record(methods=methods, ablations={"ablation_a": 0.0, "ablation_b": -0.05}, **directions)
    plain = synthetic_record(methods=methods, **directions)
    rows = summarize(record.table, (), bases)
    family = [row for row in rows if is_ablation(row, bases)]
    assert {(row.method, row.baseline, row.split) for row in family} == {
        (name, "nmtune_tuned", split) for name in bases for split in ("id", "ood")
    }
    np.testing.assert_allclose([row.p_holm for row in family], naive_holm([row.p_value for row in family]))
    headline = [row for row in rows if is_headline(row)]
    assert {row.method for row in headline} == {"nmtune_tuned"}
    np.testing.assert_allclose([row.p_holm for row in headline], naive_holm([row.p_value for row in headline]))
    assert not [row for row in summarize(record.table, ()) if row.method in bases and row.baseline == "nmtune_tuned"]
    assert len(headline) == len([row for row in summarize(plain.table, ()) if is_headline(row)])


@pytest.mark.parametrize(
    "gone", [{"noise_rate": 0.1, "seed": 2, "shift": "salt"}, {"noise_rate": 0.1, "shift": "salt"}]
)
def test_features_without_directions_leave_a_gap_and_no_error(gone: dict[str, object]) -> None:
    record = synthetic_record(seeds=(1, 2), rates=(0.0, 0.1), shifts=("salt", "thin"), methods=("mlp",), drift=True)
    table = without(record.table, metric="linear_cka", split="ood", **gone)
    rows = [row for row in summarize(table, ()) if row.metric == "linear_cka"]
    assert not [row for row in rows if (row.shift, row.noise_rate) == ("mean", "0.1")]
    assert [row for row in rows if (row.shift, row.noise_rate, row.split) == ("none", "0.1", "id")]
    assert {row.noise_rate for row in rows if row.shift == "mean"} == {"0.0"}
