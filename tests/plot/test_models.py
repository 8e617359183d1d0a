"""Metrics of models side by side: points and bars where they belong, bad input."""

from __future__ import annotations

import numpy as np
import pytest

from noisymodel.plot import metrics_of_models
from noisymodel.spectrum import MetricInterval

pytest.importorskip("matplotlib")


def test_a_panel_for_each_metric_and_a_point_for_each_model() -> None:
    interval = MetricInterval(2.0, 1.9, 2.2, 0.1, 0.0, 0.95, "sample", np.zeros(2))
    figure = metrics_of_models({"entropy": {"a": interval, "b": (3.0, 2.5, 3.1)}, "mine": {"a": 1.0, "b": 2.0}})
    left, right = figure.axes
    assert (left.get_xlabel(), right.get_xlabel()) == ("SVE (nats)", "mine")
    assert [text.get_text() for text in left.get_yticklabels()] == ["a", "b"]
    drawn = [container.lines for container in left.containers]
    assert [float(line.get_xdata()[0]) for line, _, _ in drawn] == [2.0, 3.0]
    ends = [bars.get_segments()[0][:, 0].tolist() for _, _, (bars,) in drawn]
    np.testing.assert_allclose(ends, [[1.9, 2.2], [2.5, 3.1]])
    assert left.get_ylim() == (1.5, -0.5), "the first model is on top"


def test_bad_points_are_named() -> None:
    for points in ({}, {"entropy": {}}, {"entropy": {"a": 1.0}, "mine": {"b": 1.0}}):
        with pytest.raises(ValueError, match="`points` must hold the same models for each metric, got"):
            metrics_of_models(points)
    with pytest.raises(ValueError, match=r"a point must be \(value, low, high\), got \(1.0, 2.0\) for a"):
        metrics_of_models({"entropy": {"a": (1.0, 2.0)}})
