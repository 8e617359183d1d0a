"""Correlations of a study: which variables, which networks, which groups."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from noisymodel.study.analysis import Correlation, correlate
from study.report.synthetic_record import joined, synthetic_record

RATES = (0.0, 0.1, 0.2)


def small(**directions: object):
    directions = {"seeds": (1, 2, 3, 4), "rates": RATES, "shifts": ("salt", "thin"), "methods": ("mlp",), **directions}
    return synthetic_record(**directions)


def only(found: list[Correlation], **wanted: object) -> Correlation:
    matching = [one for one in found if all(getattr(one, name) == value for name, value in wanted.items())]
    assert len(matching) == 1, f"{len(matching)} are {wanted}"
    return matching[0]


def test_columns_of_the_file() -> None:
    columns = "data objective architecture noise_kind method shots measure measure_split split adjusted kind"
    assert Correlation._fields == (*columns.split(), "value", "low", "high", "networks", "seeds")


def test_what_is_correlated() -> None:
    found = correlate(small(drift=True).table, resamples=10)
    measures = ["singular_value_entropy", "largest_singular_value_ratio", "effective_rank", "subspace_rotation"]
    assert list(dict.fromkeys(one.measure for one in found)) == [*measures, "linear_cka"]
    assert {(one.measure_split, one.split) for one in found} == {("id", "id"), ("id", "ood"), ("ood", "ood")}
    assert {(one.adjusted, one.kind) for one in found} == {
        (adjusted, kind) for adjusted in ("seed", "seed and rate") for kind in ("pearson", "spearman")
    }
    assert len(found) == 5 * 3 * 4
    assert {(one.networks, one.seeds, one.method, one.shots) for one in found} == {(12, 4, "mlp", 40)}


def test_values_are_means_over_shifts_centred_within_the_seed() -> None:
    table = small(spread=0.05).table

    def centred(method: str, metric: str, split: str) -> list[float]:
        values = []
        for seed in (1, 2, 3, 4):
            of_seed = [
                np.mean([row.value for row in table
                         if (row.method, row.metric, row.split, row.seed, row.noise_rate)
                         == (method, metric, split, seed, rate)])
                for rate in RATES
            ]  # fmt: skip
            values += [value - np.mean(of_seed) for value in of_seed]
        return values

    found = only(
        correlate(table, resamples=10), measure="effective_rank", measure_split="ood", split="ood", adjusted="seed",
        kind="pearson",
    )  # fmt: skip
    expected = stats.pearsonr(centred("features", "effective_rank", "ood"), centred("mlp", "accuracy", "ood"))
    np.testing.assert_allclose(found.value, expected.statistic, rtol=1e-9)


def test_equal_seeds_give_equal_intervals() -> None:
    table = small().table
    first = correlate(table, resamples=50)
    assert set(first) == set(correlate(tuple(reversed(table)), resamples=50))
    assert set(first) != set(correlate(table, seed=1, resamples=50))


def test_two_rates_are_too_few() -> None:
    assert correlate(small(rates=(0.0, 0.1)).table) == []


def test_a_seed_that_lacks_a_rate_is_left_out() -> None:
    table = [row for row in small().table if (row.seed, row.noise_rate, row.method) != (2, 0.1, "mlp")]
    assert {one.seeds for one in correlate(table, resamples=10)} == {3}


def test_groups_and_shots_are_apart() -> None:
    one, other = small(shots=(10, 40)), small(objective="contrastive", data="glyphs/fine", generator_seed=5)
    found = correlate(joined(one, other).table, resamples=10)
    assert set(found) == {*correlate(one.table, resamples=10), *correlate(other.table, resamples=10)}
    assert {(c.data, c.objective, c.shots) for c in found} == {
        ("glyphs", "supervised", 10), ("glyphs", "supervised", 40), ("glyphs/fine", "contrastive", 40),
    }  # fmt: skip


@pytest.mark.parametrize("seeds", [(1,), (1, 2)])
def test_few_seeds_have_no_intervals(seeds: tuple[int, ...]) -> None:
    found = correlate(small(seeds=seeds).table, resamples=10)
    assert found
    assert all(math.isnan(one.low) and math.isnan(one.high) for one in found)
