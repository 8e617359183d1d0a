"""Super-class and thickness: other questions about the same kind of pictures."""

from __future__ import annotations

import numpy as np
import pytest

from noisymodel.study.data import Glyphs
from noisymodel.study.data.drawing import BINS


@pytest.fixture(scope="module")
def glyphs() -> Glyphs:
    return Glyphs(seed=2, variants=3, base_glyphs=5, test_images=240, shift_images=90)


def test_names_and_default(glyphs: Glyphs) -> None:
    assert list(glyphs.tasks) == ["fine", "coarse", "thickness"]
    assert glyphs.default_tasks == ("fine",)
    assert {name: task.classes for name, task in glyphs.tasks.items()} == {"fine": 15, "coarse": 5, "thickness": 3}


def test_super_classes_are_tested_on_the_pictures_of_the_fine_classes(glyphs: Glyphs) -> None:
    coarse = glyphs.tasks["coarse"]
    for ours, fine in ((coarse.test(), glyphs.test()), (coarse.shifted("warp"), glyphs.shifted("warp"))):
        assert np.array_equal(ours.inputs, fine.inputs)
        assert np.array_equal(ours.labels, fine.labels // 3)


def test_super_classes_are_trained_on_all_variants(glyphs: Glyphs) -> None:
    """Pictures of one variant lie nearest to the fine class that they are of; each class has all three."""
    training = glyphs.tasks["coarse"].training(9)
    fine = glyphs.training(60)
    means = np.stack([fine.inputs[fine.labels == label].mean(0).ravel() for label in range(15)])
    rows = training.inputs.reshape(len(training.labels), -1)
    nearest = ((rows[:, None] - means) ** 2).sum(-1).argmin(1)
    order = np.arange(45)
    expected = order % 5 * 3 + order // 5 % 3
    assert np.array_equal(expected // 3, training.labels)
    assert (nearest == expected).mean() > 0.8


def test_thickness_is_balanced_within_every_glyph_and_shows(glyphs: Glyphs) -> None:
    examples = glyphs.tasks["thickness"].test()
    assert np.bincount(examples.labels).tolist() == [80, 80, 80]
    ink = [examples.inputs[examples.labels == label].mean() for label in range(BINS)]
    assert ink[0] < ink[1] < ink[2]
    drawing = glyphs.drawing(np.zeros(300, dtype=np.int64), 99)
    bins = np.arange(300, dtype=np.int64) % BINS
    drawn = drawing.with_thickness_bin(bins, np.random.default_rng(0))
    assert np.array_equal(drawn.thickness_bin, bins)
    assert drawn.thickness.min() >= 0.09
    assert drawn.thickness.max() <= 0.16
    assert np.ptp(drawn.thickness[bins == 1]) > 0.02
    assert np.array_equal(drawn.strokes, drawing.strokes)


def test_shifts_that_change_the_thickness_are_no_shifts_of_that_task(glyphs: Glyphs) -> None:
    thickness = glyphs.tasks["thickness"]
    left_out = {note.name for note in glyphs.shifts} - {note.name for note in thickness.shifts}
    assert left_out == {"thick", "thin"}
    with pytest.raises(ValueError, match=r"`shift` must be one of .*, got 'thin'"):
        thickness.shifted("thin")


def test_tasks_draw_their_own_pictures(glyphs: Glyphs) -> None:
    parts = [task.training(2).inputs[:6].tobytes() for task in glyphs.tasks.values()]
    assert len(set(parts)) == 3
