"""Intervals, pairing, Holm's correction and the summary, against scipy and naive references."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from noisymodel.study.record import Row
from noisymodel.study.statistics import (
    BASELINES,
    SummaryRow,
    holm,
    is_headline,
    mean_interval,
    paired_interval,
    summarize,
)
from study.report.synthetic_record import METHODS, RATES, REPORT_SHIFTS, synthetic_record

few = settings(deadline=None, max_examples=25)
samples = st.lists(st.floats(-10, 10), min_size=2, max_size=12)


@pytest.mark.parametrize("level", [0.5, 0.95, 0.99])
@pytest.mark.parametrize("count", [2, 3, 10])
def test_mean_interval_is_scipys_t_interval(count: int, level: float) -> None:
    values = np.random.default_rng(count).normal(0.3, 1, size=count)
    interval = mean_interval(values, level)
    low, high = stats.t.interval(level, count - 1, loc=values.mean(), scale=stats.sem(values))
    np.testing.assert_allclose([interval.mean, interval.low, interval.high], [values.mean(), low, high], rtol=1e-12)
    np.testing.assert_allclose(interval.p_value, stats.ttest_1samp(values, 0).pvalue, rtol=1e-10)
    assert interval.count == count


def test_the_default_level_is_95_percent() -> None:
    assert mean_interval([1.0, 2.0, 4.0]) == mean_interval([1.0, 2.0, 4.0], 0.95)


def test_one_value_has_no_bounds() -> None:
    interval = mean_interval([0.25])
    assert (interval.mean, interval.count) == (0.25, 1)
    assert all(map(math.isnan, (interval.low, interval.high, interval.p_value)))
    assert not interval.excludes_zero


@pytest.mark.parametrize(("value", "p_value", "excludes"), [(0.1, 0.0, True), (-0.1, 0.0, True), (0.0, 1.0, False)])
def test_equal_values_have_no_width(value: float, p_value: float, excludes: bool) -> None:
    interval = mean_interval([value] * 3)
    assert (interval.low, interval.mean, interval.high, interval.p_value) == (value, value, value, p_value)
    assert interval.excludes_zero is excludes


def test_nan_stays_visible() -> None:
    interval = mean_interval([1.0, math.nan])
    assert math.isnan(interval.mean)
    assert math.isnan(interval.low)
    assert not interval.excludes_zero


@pytest.mark.parametrize(("values", "shape"), [([], r"\(0,\)"), ([[1.0]], r"\(1, 1\)"), (1.0, r"\(\)")])
def test_mean_interval_wants_a_row_of_values(values: object, shape: str) -> None:
    with pytest.raises(ValueError, match=rf"`values` must have shape \(n,\).*got {shape}"):
        mean_interval(values)


@pytest.mark.parametrize("level", [0, 1, -0.5, 1.5])
def test_mean_interval_wants_a_level_between_0_and_1(level: float) -> None:
    with pytest.raises(ValueError, match="`level`"):
        mean_interval([1.0, 2.0], level)


@few
@given(samples, st.floats(-5, 5), st.floats(0.1, 4))
def test_interval_moves_and_stretches_with_the_values(values: list[float], offset: float, scale: float) -> None:
    plain, moved = mean_interval(values), mean_interval([scale * value + offset for value in values])
    expected = [scale * number + offset for number in (plain.mean, plain.low, plain.high)]
    np.testing.assert_allclose([moved.mean, moved.low, moved.high], expected, atol=1e-6)


@few
@given(samples)
def test_interval_excludes_zero_exactly_where_p_is_below_5_percent(values: list[float]) -> None:
    interval = mean_interval(values)
    if abs(interval.p_value - 0.05) > 1e-6:
        assert interval.excludes_zero == (interval.p_value < 0.05)


def test_paired_interval_is_scipys_paired_test() -> None:
    generator = np.random.default_rng(3)
    left, right = generator.normal(size=6), generator.normal(size=6)
    seeds = [9, 2, 5, 1, 7, 3]
    interval = paired_interval(dict(zip(seeds, left, strict=True)), dict(zip(seeds, right, strict=True)))
    np.testing.assert_allclose(interval.p_value, stats.ttest_rel(left, right).pvalue, rtol=1e-10)
    np.testing.assert_allclose(interval.mean, (left - right).mean(), rtol=1e-12)


def test_pairs_are_made_by_seed_and_not_by_position() -> None:
    assert paired_interval({1: 1.0, 2: 2.0}, {2: 1.5, 1: 0.5}).low == 0.5


def test_paired_interval_passes_the_level_on() -> None:
    left, right = {1: 0.1, 2: 0.4}, {1: 0.0, 2: 0.1}
    assert paired_interval(left, right, 0.5).low > paired_interval(left, right, 0.95).low


@pytest.mark.parametrize(
    ("left", "right", "message"),
    [
        ({1: 0.0}, {1: 0.0, 4: 0.0}, "the mlp must have.*seed 4 is missing"),
        ({1: 0.0, 5: 0.0}, {1: 0.0}, "the baseline of the mlp must have.*seed 5 is missing"),
    ],
)
def test_a_seed_without_partner_is_named(left: dict[int, float], right: dict[int, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        paired_interval(left, right, what="the mlp")


def naive_holm(p_values: list[float]) -> list[float]:
    """Holm 1979, from the definition: max over all p_j ≤ p_i of (m − #{p < p_j}) p_j, capped at 1."""
    count = len(p_values)

    def adjusted(p: float) -> float:
        below = [(count - sum(other < q for other in p_values)) * q for q in p_values if q <= p]
        return min(1.0, max(below))

    return [adjusted(p) for p in p_values]


@few
@given(st.lists(st.floats(0, 1), min_size=1, max_size=10, unique=True))
def test_holm_is_the_naive_reference(p_values: list[float]) -> None:
    np.testing.assert_allclose(holm(p_values), naive_holm(p_values))


def test_holm_does_not_count_what_is_unknown() -> None:
    corrected = holm([0.01, math.nan, 0.02])
    assert corrected[0] == 0.02
    assert math.isnan(corrected[1])
    assert corrected[2] == 0.02


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
    assert len(family) == 3 * len(BASELINES) * 2
    np.testing.assert_allclose([row.p_holm for row in family], naive_holm([row.p_value for row in family]))
    assert {(row.split, row.shift, row.noise_rate) for row in family} == {
        ("id", "none", "noisy"), ("ood", "mean", "noisy"),
    }  # fmt: skip


def test_the_other_baselines_are_compared_with_the_first(summary: list[SummaryRow]) -> None:
    pairs = {(row.method, row.baseline) for row in summary if row.baseline not in ("", "clean")}
    variants = [note.name for note in METHODS if note.name.startswith("nmtune")]
    expected = {(variant, baseline) for variant in variants for baseline in BASELINES}
    assert pairs == expected | {(name, "linear_probe") for name in BASELINES[1:]}


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


@pytest.mark.parametrize(
    ("gone", "message"),
    [
        ({"seed": 2, "method": "mlp", "noise_rate": 0.1, "split": "id"}, "seed 2 of mlp accuracy .*noise rate 0.1"),
        ({"seed": 2, "method": "mlp", "noise_rate": 0.0, "split": "id"}, "the baseline of mlp .*seed 2 is missing"),
        ({"seed": 1, "method": "mlp", "split": "id"}, "accuracy .* against mlp must .* seed 1 is missing"),
        ({"seed": 2, "method": "mlp", "shift": "salt", "noise_rate": 0.2}, "seed 2 of mlp accuracy .ood, shift salt"),
        ({"method": "mlp", "shift": "salt", "noise_rate": 0.2}, "must have shift 'salt' to pool mlp accuracy"),
        ({"method": "mlp", "split": "id", "noise_rate": 0.2}, "must have noise_rate '0.2' to pool mlp accuracy"),
    ],
)
def test_what_is_missing_is_named(gone: dict[str, object], message: str) -> None:
    record = synthetic_record(seeds=(1, 2))
    with pytest.raises(ValueError, match=message):
        summarize(without(record.table, **gone), record.shifts)


def test_shifts_without_description_are_reported_all_the_same() -> None:
    record = synthetic_record(seeds=(1, 2), shifts=REPORT_SHIFTS[:2])
    assert summarize(record.table, ()) == summarize(record.table, record.shifts)
