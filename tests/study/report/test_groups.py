"""Several groups beside each other."""

from __future__ import annotations

import pytest

from noisymodel.study.analysis.summary import summarize
from noisymodel.study.report.groups import numbered_families, overview_table, shots_table
from noisymodel.study.report.results import Results, View, views
from noisymodel.study.report.wording import interval_entry, plus_minus
from study.report.synthetic_record import joined, synthetic_record


def shown(*records, shots=(40,)) -> list[Results]:
    record = joined(*records)
    summary = summarize(record.table, record.shifts)
    return [Results(record, summary, view) for view in views(summary)]


def small(**directions: object):
    directions = {
        "seeds": (1, 2, 3), "rates": (0.0, 0.1, 0.3), "shifts": ("salt", "thin"), "spread": 0.002,
        "methods": ("linear_probe", "nmtune_paper", "nmtune_tuned"), **directions,
    }  # fmt: skip
    return synthetic_record(**directions)


@pytest.fixture(scope="module")
def groups() -> list[Results]:
    return shown(small(shots=(0, 10, 40), data="glyphs/fine"), small(objective="contrastive", generator_seed=4))


def test_names_say_what_differs(groups: list[Results]) -> None:
    assert [group.short for group in groups] == [
        "glyphs/fine, supervised, all labels", "glyphs/fine, supervised, 40 labels per class",
        "glyphs/fine, supervised, 10 labels per class", "glyphs, contrastive, 40 labels per class",
    ]  # fmt: skip
    assert groups[0].title == "glyphs/fine: supervised, mlp, symmetric noise, all labels"
    assert groups[3].slug == "glyphs-contrastive-mlp-symmetric-40"
    assert groups[3].noise == "caption noise"


def test_one_group_has_no_slug() -> None:
    (group,) = shown(small())
    assert (group.slug, group.title) == ("", "supervised, mlp, symmetric noise, 40 labels per class")


def test_slugs_are_safe_and_differ() -> None:
    groups = shown(small(data="a/../b"), small(data="a b", generator_seed=2), small(data="a.b", generator_seed=3))
    slugs = [group.slug for group in groups]
    assert len(set(slugs)) == 3
    assert all(slug.replace("-", "").isalnum() for slug in slugs)


def test_overview(groups: list[Results]) -> None:
    table = overview_table(groups)
    assert [row[0].text for row in table.rows] == [group.short for group in groups]
    results = groups[3]
    row = table.rows[3]
    assert row[1].text == "3"
    assert row[2].text == plus_minus(results.find("linear_probe", "0.0"))
    assert row[3].text == plus_minus(results.find("linear_probe", "0.0", split="ood"))
    assert row[4] == interval_entry(results.change("linear_probe", "0.1"))
    assert row[5] == interval_entry(results.change("linear_probe", "noisy", split="ood"))
    entropy = results.change("features", "noisy", metric="singular_value_entropy")
    assert row[6] == (interval_entry(entropy, 1, 2).text, None)
    assert row[7] == interval_entry(results.find("nmtune_tuned", "noisy", baseline="linear_probe"))


def test_families_of_shots(groups: list[Results]) -> None:
    families = numbered_families(groups)
    assert list(families) == [""]
    family = families[""]
    assert [group.view.shots for group in family] == [10, 40, 0]
    table = shots_table(family, "ood", "-2")
    assert table.name == "shots-2-ood"
    assert table.header == ("method", "10", "40", "all")
    assert [row[0].text for row in table.rows[:2]] == ["clean pre-training", "Linear probe"]
    expected = family[1].find("nmtune_tuned", "noisy", split="ood")
    assert table.rows[-1][2].text == plus_minus(expected)
    assert numbered_families(shown(small())) == {}


def test_a_group_holds_its_rows_alone() -> None:
    record = joined(small(shots=(0, 40), data="glyphs/fine"), small(data="glyphs/coarse", generator_seed=3))
    view = View("glyphs/fine", "supervised", "mlp", "symmetric", 40)
    rows = [row for row in record.table if view.holds(row)]
    assert {(row.data, row.shots) for row in rows} == {("glyphs", 0), ("glyphs/fine", 0), ("glyphs/fine", 40)}
    assert {row.method for row in rows if row.shots == 0} == {"pretraining", "features"}
    assert {row.method for row in rows if row.data == "glyphs"} == {"pretraining"}
