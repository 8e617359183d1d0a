"""Figures: what is drawn from what, equal bytes for equal studies, and nothing left behind in matplotlib."""

from __future__ import annotations

import dataclasses
import re
import sys

import numpy as np
import pytest

from noisymodel.errors import MissingExtraError
from noisymodel.plot.drawing import new_figure
from noisymodel.study.analysis.summary import summarize
from noisymodel.study.report.accuracy_figures import draw_accuracy, draw_differences, draw_shifts
from noisymodel.study.report.feature_figures import (
    by_seed,
    draw_spectra,
    draw_spectrum_against_accuracy,
    draw_tuned_spectrum,
    mean_spectra,
    reshaping_methods,
)
from noisymodel.study.report.figure_style import encode, look, method_styles, rate_colors
from noisymodel.study.report.figures import study_figures
from noisymodel.study.report.results import Results, views
from noisymodel.study.report.sample_figures import draw_samples, sample_groups, strip
from noisymodel.study.rows import StudyRecord
from study.report.conftest import FIGURES
from study.report.synthetic_record import METHODS, REPORT_SHIFTS, TUNING_SHIFTS, synthetic_record

NAMES = ["accuracy", "spectra", "spectrum-accuracy", "differences", "shifts", "samples", "tuned-spectrum"]


def read(record: StudyRecord) -> Results:
    summary = summarize(record.table, record.shifts)
    return Results(record, summary, views(summary)[0])


@pytest.fixture(scope="module")
def results() -> Results:
    return read(synthetic_record(seeds=(1, 2, 3)))


@pytest.fixture
def style():
    with look():
        yield


def test_the_figures_of_a_full_study(results: Results) -> None:
    figures = study_figures(results)
    assert [figure.name for figure in figures] == NAMES
    for figure in figures:
        assert figure.title
        assert figure.caption.endswith(".")
        assert len(figure.alternative) > 40


def test_figures_without_numbers_are_left_out() -> None:
    record = synthetic_record(seeds=(1,), rates=(0.0,), methods=("mlp",))
    record = dataclasses.replace(record, spectra={}, samples={})
    assert [figure.name for figure in study_figures(read(record))] == ["accuracy", "spectrum-accuracy"]


def test_one_seed_is_said_in_the_captions() -> None:
    captions = {figure.name: figure.caption for figure in study_figures(read(synthetic_record(seeds=(1,))))}
    for name in ("accuracy", "differences", "shifts", "tuned-spectrum"):
        assert "One seed, therefore no intervals." in captions[name]


def test_files_of_a_report_are_pictures(written) -> None:
    for name in FIGURES:
        png = (written.folder / "figures" / f"{name}.png").read_bytes()
        svg = (written.folder / "figures" / f"{name}.svg").read_text()
        assert png.startswith(b"\x89PNG\r\n")
        width = int.from_bytes(png[16:20], "big")
        assert width >= 1800
        assert "<svg" in svg
        assert "<dc:date>" not in svg


def test_letters_of_a_pdf_are_embedded_whole(written) -> None:
    for name in FIGURES:
        pdf = (written.folder / "figures" / f"{name}.pdf").read_bytes()
        assert pdf.startswith(b"%PDF-")
        assert b"/FontFile2" in pdf  # TrueType
        assert b"/Type3" not in pdf
        assert b"/CreationDate" not in pdf


@pytest.mark.parametrize("name", ["accuracy", "samples"])
def test_equal_studies_give_equal_bytes(written, name: str) -> None:
    record = synthetic_record(seeds=(7000, 7001, 7002), spread=0.002)
    figure = next(figure for figure in study_figures(read(record)) if figure.name == name)
    png, svg, pdf = encode(figure.draw, ["png", "svg", "pdf"])
    assert pdf == (written.folder / "figures" / f"{name}.pdf").read_bytes()
    assert png == (written.folder / "figures" / f"{name}.png").read_bytes()
    assert svg == (written.folder / "figures" / f"{name}.svg").read_bytes()


def test_matplotlib_is_left_as_it_was() -> None:
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    with mpl.rc_context({"lines.linewidth": 9.0}):
        encode(lambda narrow: new_figure(1, 2 if narrow else 1), ["png"])
        assert mpl.rcParams["lines.linewidth"] == 9.0
    assert dict(mpl.rcParams) == before


def test_the_callers_settings_do_not_show() -> None:
    import matplotlib as mpl

    def draw(narrow: bool):
        figure = new_figure(1, 1)
        figure.subplots().plot([0, 1], [0, 1])
        return figure

    plain = encode(draw, ["svg"])
    with mpl.rc_context({"lines.linewidth": 9.0, "font.size": 30}):
        assert encode(draw, ["svg"]) == plain


def test_narrow_figures_are_narrow(results: Results) -> None:
    for figure in study_figures(results):
        with look():
            wide, narrow = figure.draw(False), figure.draw(True)
        assert narrow.get_figwidth() < 5 < 9 < wide.get_figwidth()


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    message = r"`matplotlib` is needed for the study's figures: pip install 'noisymodel\[study\]'"
    with pytest.raises(MissingExtraError, match=message):
        encode(lambda _narrow: new_figure(1, 1), ["png"])


def test_accuracy_lines_hold_the_means_in_percent(results: Results, style: None) -> None:
    inside, outside = draw_accuracy(results, False).axes
    assert (inside.get_title(loc="left"), outside.get_title(loc="left")) == ("In-domain", "Under shift")
    assert "(%)" in inside.get_ylabel()
    assert "(%)" in inside.get_xlabel()
    handles, labels = outside.get_legend_handles_labels()
    assert labels == [note.label for note in METHODS]
    expected = [100 * row.mean for rate in results.rates if (row := results.find("mlp", rate, split="ood"))]
    np.testing.assert_allclose(np.asarray(handles[2].lines[0].get_ydata(), dtype=float), expected)


def test_forest_plot_fills_what_is_significant(results: Results, style: None) -> None:
    axes = draw_differences(results, False).axes[1]
    assert [text.get_text() for text in draw_differences(results, True).axes[1].get_yticklabels()][
        1
    ] == "− Linear probe"
    points = axes.containers
    assert len(points) == len(results.pairs)
    for point, (variant, baseline) in zip(points, results.pairs, strict=True):
        row = results.find(variant, "noisy", baseline=baseline, split="ood")
        assert row is not None
        assert point.lines[0].get_xdata()[0] == pytest.approx(100 * row.mean)
        assert (point.lines[0].get_markerfacecolor() != "white") == row.significant


@pytest.mark.parametrize("narrow", [False, True])
def test_map_of_shifts(results: Results, style: None, narrow: bool) -> None:
    axes = draw_shifts(results, narrow).axes[0]
    shown = axes.images[0].get_array()
    shown = shown.T if narrow else shown
    assert shown.shape == (4, 11)
    row = results.change("linear_probe", "0.3", split="ood", shift="salt")
    assert row is not None
    assert shown[3, 2] == pytest.approx(100 * row.mean)
    names = axes.get_yticklabels() if narrow else axes.get_xticklabels()
    assert [text.get_text() for text in names] == [*REPORT_SHIFTS, "mean"]


def test_map_of_shifts_brackets_what_is_not_significant(style: None) -> None:
    results = read(synthetic_record(seeds=(1, 2, 3), ood_change=0.0, spread=0.05))
    texts = [text.get_text() for text in draw_shifts(results, False).axes[0].texts]
    flat = [
        results.change("linear_probe", rate, split="ood", shift=shift)
        for rate in results.noisy_rates
        for shift in (*results.shifts, "mean")
    ]
    assert [text.startswith("(") for text in texts] == [row is not None and not row.significant for row in flat]
    assert any(text.startswith("(") for text in texts)


def test_mean_spectra_are_normalised_then_averaged() -> None:
    record = dataclasses.replace(
        synthetic_record(seeds=(1, 2)),
        spectra={
            "rate=0.1/seed=1/id": np.array([4.0, 2.0, 0.0]),
            "rate=0.1/seed=2/id": np.array([10.0, 1.0]),
            "rate=0/seed=1/salt": np.array([1.0, 0.5]),
            "rate=0/seed=1/thin": np.array([1.0, 0.3]),
            "rate=0/seed=2/thin": np.zeros(2),
        },
    )
    spectra = mean_spectra(read(record))
    np.testing.assert_allclose(spectra["id"]["0.1"], [1.0, 0.3])
    np.testing.assert_allclose(spectra["ood"]["0.0"], [1.0, 0.4])


def test_spectra_are_drawn_on_a_logarithmic_scale(results: Results, style: None) -> None:
    figure = draw_spectra(results, False)
    assert [axes.get_yscale() for axes in figure.axes] == ["log", "log"]
    line = figure.axes[0].lines[1]
    np.testing.assert_allclose(line.get_ydata(), mean_spectra(results)["id"]["0.05"])
    np.testing.assert_array_equal(line.get_xdata(), np.arange(1, 65))


def test_points_are_seeds(results: Results, style: None) -> None:
    axes = draw_spectrum_against_accuracy(results, False).axes[0]
    groups = axes.collections
    assert len(groups) == len(results.rates)
    offsets = groups[0].get_offsets()
    assert offsets.shape == (3, 2)
    entropy = by_seed(results, "features", "singular_value_entropy")["id"]
    accuracy = by_seed(results, "linear_probe", "accuracy")["id"]
    np.testing.assert_allclose(offsets[1], [entropy["0.0", 2], 100 * accuracy["0.0", 2]])


def test_by_seed_averages_over_shifts(results: Results) -> None:
    rows = [row for row in results.record.table if (row.method, row.split, row.metric) == ("mlp", "ood", "accuracy")]
    expected = np.mean([row.value for row in rows if row.seed == 2 and row.noise_rate == 0.1])
    assert by_seed(results, "mlp", "accuracy")["ood"]["0.1", 2] == pytest.approx(expected)


def test_before_and_after_tuning(results: Results, style: None) -> None:
    assert reshaping_methods(results) == ["nmtune_paper", "nmtune_official", "nmtune_tuned"]
    handles, labels = draw_tuned_spectrum(results, False).axes[1].get_legend_handles_labels()
    assert labels[0] == "frozen features, before tuning"
    assert labels[3] == "after NMTune, tuned weights"
    row = results.find("nmtune_tuned", "0.0", metric="largest_singular_value_ratio")
    assert row is not None
    assert handles[3].lines[0].get_ydata()[0] == pytest.approx(row.mean)


def test_samples_stand_under_what_they_were_used_for(results: Results, style: None) -> None:
    groups = sample_groups(results)
    assert [names for _, names in groups] == [["clean"], list(REPORT_SHIFTS), list(TUNING_SHIFTS)]
    assert groups[1][0] == "Reported shifts"
    assert re.search("hyper-parameters, never reported", groups[2][0])
    figure = draw_samples(results, False)
    assert len(figure.axes) == 1 + len(REPORT_SHIFTS) + len(TUNING_SHIFTS)
    texts = [text.get_text() for text in figure.texts]
    assert "low contrast" in texts
    assert all(heading in texts for heading, _ in groups)


def test_a_strip_parts_its_pictures() -> None:
    strip_of_two = strip(np.stack([np.zeros((2, 3)), np.ones((2, 3))]).astype(np.float32))
    assert strip_of_two.shape == (2, 7)
    assert np.isnan(strip_of_two[:, 3]).all()
    np.testing.assert_array_equal(strip_of_two[:, [0, 6]], [[0, 1], [0, 1]])


def test_methods_are_told_apart(results: Results) -> None:
    styles = method_styles(results)
    assert len(set(styles.values())) == len(METHODS)
    assert len({style.color for style in styles.values()}) == len(METHODS)
    assert {name for name, style in styles.items() if style.line == "--"} == {
        note.name for note in METHODS if note.role == "control"
    }


def test_rates_grow_brighter() -> None:
    colors = list(rate_colors(["0.0", "0.1", "0.3"]).values())
    luminance = [sum(int(color[place : place + 2], 16) for place in (1, 3, 5)) for color in colors]
    assert luminance == sorted(luminance)
    assert len(set(colors)) == 3
    assert list(rate_colors(["0.0"])) == ["0.0"]
