"""The evidence: pages say what the files say; splits, records and intervals are what they claim to be."""

from __future__ import annotations

import json
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def evidence(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Gives the modules of docs/evidence by name."""
    monkeypatch.syspath_prepend(str(ROOT))
    return lambda name: import_module(f"docs.evidence.{name}")


@pytest.fixture
def cache(tmp_path: Path, evidence: Any) -> Path:
    """A cache with two small bundles: one that is dealt by styles, one that says itself what is tested on."""
    bundles, random = evidence("bundles"), np.random.default_rng(0)
    labels, groups = np.arange(240) % 4, np.arange(240) // 8
    centres = 4 * random.normal(size=(4, 6))

    def part(spread: float) -> Any:
        rows = centres[labels] + spread * random.normal(size=(240, 6))
        return bundles.Part(rows.astype(np.float32), labels, groups)

    styles = {"noto": part(1), "twitter": part(3), "flat": part(5)}
    bundles.write_bundle(tmp_path / "bundles" / "emoji-lite0@15.npz", styles, list("abcd"))
    fixed = {"train": part(1), "test": part(1), "typos": part(3)}
    bundles.write_bundle(tmp_path / "bundles" / "webster@output.npz", fixed, list("abcd"))
    return tmp_path


def test_tables_of_the_pages_are_those_of_the_files(evidence: Any) -> None:
    pages = evidence("pages")
    every = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    quoting = [path for path in every if pages.MARKED.search(path.read_text(encoding="utf-8"))]
    for path in quoting:
        text = path.read_text(encoding="utf-8")
        assert pages.rendered(text) == text, f"{path.name}: run `python -m docs.evidence pages`"
    assert {path.stem for path in quoting} >= {"README", "evidence"}


def test_a_table_follows_its_file(evidence: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = evidence("pages")
    tests = {name: {"accuracy": value} for name, value in (("in-domain", 71.26), ("OOD", 50.0), ("typos", 50.0))}
    row = {"task": "webster", "size": 16, "title": "MLP", "seeds": 5, "tests": tests}
    best = {**row, "title": "probe", "tests": {**tests, "OOD": {"accuracy": 60.0}}}
    (tmp_path / "tables.json").write_text(json.dumps({"rows": [row, best]}))
    monkeypatch.setattr(pages, "RESULTS", tmp_path)
    page = "Before\n<!-- table accuracy tables webster -->\nold\n<!-- end of table -->\nafter\n"
    lines = pages.rendered(page).splitlines()
    assert lines[2] == "| labels a class (seeds) | 16 (5) |"
    assert lines[4:6] == ["| MLP | **71.3** / 50.0 |", "| probe | **71.3** / **60.0** |"]
    assert pages.rendered(pages.rendered(page)) == pages.rendered(page)


def test_the_front_page_compares_with_all_labels(
    evidence: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = evidence("pages")

    def row(method: str, size: int, accuracy: float) -> dict[str, Any]:
        tests = {name: {"accuracy": accuracy} for name in ("in-domain", "OOD")}
        return {"task": "webster", "size": size, "method": method, "title": method, "tests": tests}

    rows = [row("logistic", 0, 70.0), row("default", 0, 72.0), row("lda", 0, 90.0), row("default", 16, 30.0)]
    gain = {"task": "webster", "size": 0, "other": "logistic", "id": [1.0, 0.0, 2.0], "ood": [2.0, -0.5, 4.0]}
    (tmp_path / "tables.json").write_text(json.dumps({"rows": rows, "gains": [gain, {**gain, "size": 16}]}))
    monkeypatch.setattr(pages, "RESULTS", tmp_path)
    assert pages.front("tables").splitlines() == [
        "| task | logistic | default | gain under shift |",
        "| --- | --- | --- | --- |",
        "| webster | 70.0 / 70.0 | **72.0** / **72.0** | +2.0 [−0.5, +4.0] |",
    ]


@pytest.mark.parametrize("task", ["emoji-lite0", "webster"])
def test_splits_keep_groups_apart_and_count_labels(evidence: Any, cache: Path, task: str) -> None:
    cells = evidence("cells")
    layer = cells.TASKS[task].layer
    dealt = cells.split(cells.Cell(task, layer, 4, seed=3), cache)
    assert np.bincount(dealt.training.labels).tolist() == [4, 4, 4, 4]
    again = cells.split(cells.Cell(task, layer, 4, seed=3), cache)
    assert (again.training.features == dealt.training.features).all()
    other = cells.split(cells.Cell(task, layer, 4, seed=4), cache)
    assert not np.array_equal(other.training.features, dealt.training.features)
    if task == "emoji-lite0":
        for part in dealt.tests.values():
            assert not set(part.groups) & set(dealt.training.groups)
    noisy = cells.split(cells.Cell(task, layer, 0, 3, "symmetric", 0.5), cache).training.labels
    clean = cells.split(cells.Cell(task, layer, 0, 3), cache).training.labels
    assert np.mean(noisy != clean) == pytest.approx(0.5, abs=0.01)


def test_a_fit_is_made_once_and_its_figures_are_those_of_its_rows(
    evidence: Any, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells, measure, intervals = evidence("cells"), evidence("measure"), evidence("intervals")
    cell = cells.Cell("webster", "output", 16, seed=0)
    first = measure.measure(cell, "lda", cache)
    monkeypatch.setattr(measure, "split", lambda *_: pytest.fail("fitted again"))
    again = measure.measure(cell, "lda", cache)
    found = intervals.figures(again)
    for name, test in first.tests.items():
        assert found[name]["accuracy"] == pytest.approx(100 * np.mean(test.predicted == test.labels))
        assert found[name]["log_loss"] == pytest.approx(-test.log_likelihood.mean(), rel=1e-5)
    assert found["OOD"] == found["typos"]
    assert 0 <= found["in-domain"]["ece"] < 20 < found["in-domain"]["f1"] <= 100


def test_gains_are_paired(evidence: Any) -> None:
    measure, intervals, cells = evidence("measure"), evidence("intervals"), evidence("cells")
    labels, groups = np.zeros(400, int), np.arange(400) // 4

    def record(seed: int, right: float) -> Any:
        predicted = (np.random.default_rng(seed).random(400) > right).astype(int)
        test = measure.Test(labels, groups, predicted, np.full(400, 0.5), np.zeros(400))
        return measure.Record(
            cells.Cell("webster", "output", 4, seed), "m", "v", 1, 0.0, {"in-domain": test, "s": test}
        )

    weak, strong = ([record(seed, right) for seed in range(5)] for right in (0.6, 0.7))
    middle, low, high = intervals.interval(intervals.gain_draws(strong, weak)["ood"])
    assert 8 < middle < 12
    assert 6 < low < middle < high < 14
    same = intervals.interval(intervals.gain_draws(weak, weak)["id"])
    assert same == [0.0, 0.0, 0.0]


def test_places_that_are_not_measured_again_stay(evidence: Any) -> None:
    results, cells = evidence("results"), evidence("cells")
    places = [cells.Cell("webster", "output", size, 0) for size in (4, 16, 64)]
    part = evidence("parts").Part("", places, [])

    def lines(run: str, *sizes: int) -> list[dict[str, Any]]:
        one = {"task": "webster", "layer": "output", "noise": "", "rate": 0.0, "run": run}
        return [{**one, "size": size} for size in sizes]

    before = {"about": "first", "rows": lines("first", 4, 16, 64, 256), "gains": lines("first", 4, 16)}
    now = {"about": "second", "rows": lines("second", 16), "gains": lines("second", 16)}
    found = results.merged(now, before, part)
    assert [(row["size"], row["run"]) for row in found["rows"]] == [(4, "first"), (16, "second"), (64, "first")]
    assert [(row["size"], row["run"]) for row in found["gains"]] == [(4, "first"), (16, "second")]
    assert (found["about"], found["earlier"]) == ("second", ["first"])
    assert results.merged({**now, "rows": lines("second", 4, 16, 64)}, before, part)["earlier"] == []


def test_differences_of_the_fonts_page_are_in_the_tables_of_its_study() -> None:
    said, tables = (
        (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8").replace("\u00a0", " ")
        for page in ("fonts_study", "fonts_study_tables")
    )
    differences = re.findall(r"[+−]\d+\.\d+ (?:± \d+\.\d+|\[.*?\])", re.sub(r"\s+", " ", said))
    assert len(differences) > 10
    assert [one for one in differences if one not in tables] == []


def test_characters_that_a_font_lacks_are_left_out(evidence: Any) -> None:
    pytest.importorskip("PIL")
    data = pytest.importorskip("matplotlib").get_data_path()
    face = evidence("fonts").Face(Path(data) / "fonts" / "ttf" / "DejaVuSans.ttf", "sans", "dejavu-core")
    _, labels = evidence("font_study")._pictures([face], "A\u4e00B")
    assert labels.tolist() == [0, 2]


def test_methods_of_every_part_are_known(evidence: Any) -> None:
    parts, methods = evidence("parts"), evidence("methods")
    for part in parts.parts().values():
        assert set(part.methods) <= set(methods.ALL)
        assert len(set(part.cells)) == len(part.cells) > 0
    assert methods.version("lda") != methods.version("mlp")
