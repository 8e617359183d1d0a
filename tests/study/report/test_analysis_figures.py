"""Figures of the analysis: what is drawn from what."""

from __future__ import annotations

import numpy as np
import pytest

from noisymodel.study.analysis import correlate
from noisymodel.study.analysis.summary import summarize
from noisymodel.study.report.accuracy_figures import (
    curve_means,
    curve_methods,
    draw_ablation,
    draw_curves,
    draw_groups,
    draw_shots,
)
from noisymodel.study.report.feature_figures import draw_correlations, draw_drift
from noisymodel.study.report.figure_style import look
from noisymodel.study.report.figures import group_figures, study_figures
from noisymodel.study.report.groups import numbered_families
from noisymodel.study.report.results import Results, bases, views
from study.report.synthetic_record import synthetic_record

ABLATIONS = {"ablation_no_covariance": -0.03, "ablation_residual": 0.0}


def made(**directions: object) -> list[Results]:
    directions = {
        "seeds": (1, 2, 3, 4), "rates": (0.0, 0.1, 0.3), "shifts": ("salt", "thin"), "spread": 0.002, "curves": True,
        "methods": ("linear_probe", "mlp", "nmtune_tuned"), "ablations": ABLATIONS, "drift": True, **directions,
    }  # fmt: skip
    record = synthetic_record(**directions)
    summary = summarize(record.table, record.shifts, bases(record.methods))
    correlations = correlate(record.table, resamples=30)
    return [Results(record, summary, view, correlations) for view in views(summary)]


@pytest.fixture(scope="module")
def results() -> Results:
    return made()[0]


@pytest.fixture(autouse=True)
def _style():
    with look():
        yield


def test_which_there_are(results: Results) -> None:
    names = [figure.name for figure in study_figures(results)]
    assert names[-4:] == ["drift", "correlations", "ablation", "curves"]
    for figure in study_figures(results)[-4:]:
        assert figure.title
        assert figure.caption.endswith(".")
        assert len(figure.alternative) > 40
    without = made(drift=False, ablations={}, curves=False, rates=(0.0, 0.3))[0]
    assert not {"drift", "correlations", "ablation", "curves"} & {figure.name for figure in study_figures(without)}


def test_drift(results: Results) -> None:
    rotation, cka = draw_drift(results, False).axes
    assert (rotation.get_title(loc="left"), cka.get_title(loc="left")) == ("Rotation", "CKA")
    handles, labels = rotation.get_legend_handles_labels()
    assert labels == ["in-domain", "under shift"]
    row = results.find("features", "0.3", metric="subspace_rotation", split="ood")
    assert row is not None
    assert handles[1].lines[0].get_ydata()[2] == pytest.approx(row.mean)


def test_correlations(results: Results) -> None:
    axes = draw_correlations(results, False).axes[1]
    assert [text.get_text() for text in draw_correlations(results, True).axes[1].get_yticklabels()] == [
        "SVE", "LSVR", "effective rank", "rotation", "CKA",
    ]  # fmt: skip
    handles, labels = axes.get_legend_handles_labels()
    assert labels == ["across noise rates, within seeds", "among networks of the same noise rate"]
    expected = [
        found.value for found in results.correlations
        if (found.method, found.measure_split, found.split, found.adjusted, found.kind)
        == ("linear_probe", "id", "ood", "seed and rate", "pearson")
    ]  # fmt: skip
    np.testing.assert_allclose(handles[1].get_xdata(), expected)
    assert axes.get_xlim() == (-1.05, 1.05)


def test_ablation(results: Results) -> None:
    axes = draw_ablation(results, False).axes[0]
    row = results.find("ablation_no_covariance", "noisy", baseline="nmtune_tuned")
    assert row is not None
    assert axes.containers[0].lines[0].get_xdata()[0] == pytest.approx(100 * row.mean)
    assert axes.containers[0].lines[0].get_markerfacecolor() != "white"
    assert [text.get_text() for text in axes.get_yticklabels()] == [
        "against NMTune, tuned weights", "ablation no covariance", "ablation residual",
    ]  # fmt: skip


def test_curves_are_means_over_seeds_and_shifts(results: Results) -> None:
    rows = [
        row for row in results.curves
        if (row.method, row.noise_rate, row.metric, row.split, row.epoch) == ("mlp", 0.3, "accuracy", "ood", 2)
    ]  # fmt: skip
    assert len(rows) == 8
    means = curve_means(results)["mlp", "0.3", "accuracy", "ood"]
    assert means[2] == pytest.approx(np.mean([row.value for row in rows]))
    assert curve_methods(results) == ["linear_probe", "mlp", "nmtune_tuned"]
    axes = draw_curves(results, False).axes
    assert len(axes) == len(draw_curves(results, True).axes) == 6
    np.testing.assert_allclose(axes[5].lines[1].get_ydata(), [100 * value for value in means.values()])
    assert axes[3].get_title(loc="left") == "30\u00a0% label noise"
    assert axes[0].get_yscale() == "log"


def test_groups_and_shots() -> None:
    groups = made(shots=(10, 40), curves=False)
    assert [figure.name for figure in group_figures(groups)] == ["groups", "shots"]
    assert group_figures(groups[:1]) == []
    axes = draw_groups(groups, False).axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["40 labels per class", "10 labels per class"]
    row = groups[0].change("linear_probe", "0.1")
    assert row is not None
    assert axes.containers[0].lines[0].get_xdata()[0] == pytest.approx(100 * row.mean)
    family = numbered_families(groups)[""]
    axes = draw_shots(family, False).axes[1]
    expected = [100 * group.find("mlp", "noisy", split="ood").mean for group in family]
    np.testing.assert_allclose(np.asarray(axes.containers[1].lines[0].get_ydata(), dtype=float), expected)
    assert [text.get_text() for text in axes.get_xticklabels()] == ["10", "40"]
