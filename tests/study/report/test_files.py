"""The files of a study: complete, exact, deterministic, and written whole or not at all."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from noisymodel.study.analysis.summary import SummaryRow, is_headline, summarize
from noisymodel.study.report import files as report
from noisymodel.study.report.files import ordered_rows, plain_text, terminal_tables, write_report
from noisymodel.study.report.results import Results, views
from noisymodel.study.report.tables import Table
from noisymodel.study.report.wording import Entry
from noisymodel.study.rows import Row, StudyRecord
from study.report.conftest import FIGURES
from study.report.synthetic_record import SEEDS, synthetic_record

NUMBERS = {"results.csv", "summary.csv", "correlations.csv", "results.json", "spectra.safetensors"}


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """A report in a moment: the figures have tests of their own."""
    monkeypatch.setattr(report, "study_figures", lambda _results: [])
    monkeypatch.setattr(report, "group_figures", lambda _groups: [])


def test_all_files_are_there_and_no_others(written) -> None:
    names = {path.relative_to(written.folder).as_posix() for path in written.folder.rglob("*") if path.is_file()}
    tables = ["accuracy-id", "accuracy-ood", "change-id", "change-ood", "differences", "spectrum", "differences-id"]
    tables += ["differences-ood", "shifts", "effects"]
    for kind in ("", "-spearman"):
        tables += [f"correlation-{split}-{level}{kind}" for split in ("id", "ood") for level in ("seed", "rate")]
    files = {*NUMBERS, "citation.bib", "report.html", "tables.txt"}
    files |= {f"tables/{name}.{kind}" for name in tables for kind in ("tex", "md")}
    assert names == files | {f"figures/{name}.{kind}" for name in FIGURES for kind in ("png", "svg", "pdf")}
    assert [path.relative_to(written.folder).as_posix() for path in written.paths][-1] == "results.json"
    assert {path.relative_to(written.folder).as_posix() for path in written.paths} == names


@pytest.mark.slow
def test_every_figure_is_a_file_in_every_format(tmp_path: Path) -> None:
    write_report(tmp_path, synthetic_record(seeds=(1, 2, 3), rates=(0.0, 0.1, 0.3), shifts=("salt", "thin")))
    figures = ["accuracy", "spectra", "spectrum-accuracy", "differences", "shifts", "samples", "tuned-spectrum"]
    expected = {f"{name}.{kind}" for name in [*figures, "correlations"] for kind in ("png", "svg", "pdf")}
    assert {path.name for path in (tmp_path / "figures").iterdir()} == expected


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_results_csv_reads_back_exactly(written) -> None:
    def row(line: dict[str, str]) -> Row:
        numbers = {"noise_rate": float, "shots": int, "seed": int, "value": float}
        return Row(**{name: numbers.get(name, str)(text) for name, text in line.items()})

    lines = read_rows(written.folder / "results.csv")
    assert tuple(lines[0]) == Row._fields
    assert [row(line) for line in lines] == ordered_rows(written.record)


def test_summary_csv_is_the_summary(written) -> None:
    lines = read_rows(written.folder / "summary.csv")
    expected = summarize(ordered_rows(written.record), written.record.shifts)
    assert tuple(lines[0]) == SummaryRow._fields
    assert len(lines) == len(expected)
    for line, row in zip(lines, expected, strict=True):
        assert line["mean"] == repr(row.mean)
        assert line["p_holm"] == ("" if math.isnan(row.p_holm) else repr(row.p_holm))
        assert line["significant"] == {None: "", True: "true", False: "false"}[row.significant]
        assert (line["noise_rate"], line["baseline"], line["shift"]) == (row.noise_rate, row.baseline, row.shift)


def test_order_of_the_table_does_not_show(tmp_path: Path, no_figures: None) -> None:
    record = synthetic_record(seeds=(1, 2, 3))
    places = np.random.default_rng(0).permutation(len(record.table))
    shuffled = dataclasses.replace(
        record,
        table=tuple(record.table[place] for place in places),
        spectra=dict(reversed(record.spectra.items())),
    )
    write_report(tmp_path / "a", record)
    write_report(tmp_path / "b", shuffled)
    for name in ("results.csv", "summary.csv", "spectra.safetensors", "results.json", "report.html"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_rows_stand_in_the_order_of_methods_and_shifts() -> None:
    record = synthetic_record(seeds=(2, 1), rates=(0.1, 0.0))
    rows = ordered_rows(record)
    methods = list(dict.fromkeys(row.method for row in rows))
    assert methods == ["pretraining", "features", *(note.name for note in record.methods)]
    shifts = dict.fromkeys(row.shift for row in rows if row.method == "mlp")
    assert list(shifts) == ["none", *(note.name for note in record.shifts if note.role == "report")]
    assert [row.noise_rate for row in rows] == sorted(row.noise_rate for row in rows)
    assert rows[0].seed == 1
    assert sorted(rows) == sorted(record.table)


def test_results_json_says_how_it_was_made(written) -> None:
    def no_constant(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    text = (written.folder / "results.json").read_text()
    content = json.loads(text, parse_constant=no_constant)
    record = written.record
    assert content["config"] == json.loads(json.dumps(record.config))
    assert content["versions"] == record.versions
    assert content["seeds"] == [7000, 7001, 7002]
    assert (content["command"], content["finished"], content["seconds"]) == (
        record.command, record.finished, record.seconds,
    )  # fmt: skip
    assert [note["name"] for note in content["methods"]] == [note.name for note in record.methods]
    assert {note["role"] for note in content["shifts"]} == {"report", "tuning"}
    expected = [row for row in summarize(ordered_rows(record), record.shifts) if is_headline(row)]
    assert [line["mean"] for line in content["headline"]] == [row.mean for row in expected]


def test_json_of_one_seed_has_null_for_bounds(tmp_path: Path, no_figures: None) -> None:
    write_report(tmp_path, synthetic_record(seeds=(1,)))
    content = json.loads((tmp_path / "results.json").read_text())
    assert {line["low"] for line in content["headline"]} == {None}


def test_spectra_read_back(written) -> None:
    spectra = load_file(written.folder / "spectra.safetensors")
    assert set(spectra) == set(written.record.spectra)
    for name, values in written.record.spectra.items():
        np.testing.assert_array_equal(spectra[name], values)
        assert spectra[name].dtype == np.float64


def test_a_second_report_replaces_the_first(tmp_path: Path, no_figures: None) -> None:
    write_report(tmp_path, synthetic_record(seeds=(1, 2), curves=True, shots=(4, 40)))
    (tmp_path / "figures").mkdir(exist_ok=True)
    (tmp_path / "figures" / "curves.png").write_bytes(b"an old figure")
    write_report(tmp_path, synthetic_record(seeds=(3, 4)))
    assert {line["seed"] for line in read_rows(tmp_path / "results.csv")} == {"3", "4"}
    files = {path.name for path in tmp_path.iterdir()}
    assert files == {*NUMBERS, "citation.bib", "report.html", "tables", "tables.txt"}


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, no_figures: None, monkeypatch: pytest.MonkeyPatch) -> None:
    write_report(tmp_path, synthetic_record(seeds=(1, 2)))
    before = (tmp_path / "results.csv").read_bytes()

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="no space"):
        write_report(tmp_path, synthetic_record(seeds=(3, 4)))
    assert (tmp_path / "results.csv").read_bytes() == before


def test_an_empty_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="`record` must have rows in its table, got none"):
        write_report(tmp_path, dataclasses.replace(synthetic_record(seeds=(1,)), table=()))


def shown(record: StudyRecord) -> str:
    summary = summarize(record.table, record.shifts)
    return terminal_tables([Results(record, summary, view) for view in views(summary)])


def test_terminal_tables_fit_and_say_it_all() -> None:
    text = shown(synthetic_record(seeds=SEEDS))
    assert max(map(len, text.splitlines())) <= 100
    for part in (
        "procedural glyphs: supervised, mlp, symmetric noise, 40 labels per class",
        "In-domain accuracy (%)",
        "Accuracy under shift, mean of 10 shifts (%)",
        "SVE  ",
        "LSVR  ",
        "± 95 % interval over 10 seeds",
        "NMTune, tuned weights\n− Linear probe  ",
        " n.s.",
    ):
        assert part in text
    assert "\u00a0" not in text


def test_terminal_tables_show_each_number_of_shots() -> None:
    text = shown(synthetic_record(seeds=(1, 2), shots=(10, 40), methods=("mlp",)))
    assert text.index("40 labels per class") < text.index("10 labels per class")


def test_wide_tables_are_broken_into_blocks() -> None:
    cells = tuple(Entry(str(number) * 8) for number in range(6))
    table = Table(
        "t", "A caption of some length", ("method", *"abcdef"), ((Entry("a method with a long name"), *cells),)
    )
    lines = plain_text(table, width=40).splitlines()
    assert lines[0] == "A caption of some length"
    assert max(map(len, lines)) <= 40
    assert [line.split()[0] for line in lines[1:]] == ["method", "a", "method", "a", "method", "a"]
    assert all(str(number) * 8 in "\n".join(lines) for number in range(6))


def test_long_headings_are_cut() -> None:
    table = Table("t", "c", ("method", "x"), ((Entry("m" * 60), Entry("1", "not significant")),))
    assert plain_text(table, width=30).splitlines()[-1] == "m" * 21 + "…  1 n.s."
    group = Table("t", "c", ("method", "x"), ((Entry("g" * 60),), (Entry("m"), Entry("1"))))
    assert "g" * 29 + "…" in plain_text(group, width=30)
