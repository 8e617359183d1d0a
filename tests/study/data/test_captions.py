"""Captions: they tell what is in the picture, in many ways; all else is as it is of the glyphs."""

from __future__ import annotations

import re

import numpy as np
import pytest

from noisymodel.study.data import Captions, Glyphs
from noisymodel.study.data.captions import GLYPHS, PATTERNS, SIZES, THICKNESSES
from noisymodel.study.data.source import balanced
from study.data.words import in_words

SMALL = {"pretraining_images": 900, "check_images": 60, "test_images": 60, "shift_images": 40}


@pytest.fixture(scope="module")
def source() -> Captions:
    return Captions(seed=2, **SMALL)


def test_golden_captions() -> None:
    captions = Captions(seed=0, pretraining_images=4)
    assert in_words(captions.pretraining().captions, captions.spelling) == (
        "a regular sign-0 drawn middling",
        "this shows a big sign-0 in thin strokes",
        "a thin sign-1 drawn large",
        "this shows a big sign-1 in fine strokes",
    )


def test_pictures_tasks_and_shifts_are_those_of_the_glyphs(source: Captions) -> None:
    glyphs = Glyphs(seed=2, **SMALL)
    for ours, theirs in (
        (source.pretraining(), glyphs.pretraining()),
        (source.pretraining_check(), glyphs.pretraining_check()),
        (source.training(3), glyphs.training(3)),
        (source.test(), glyphs.test()),
        (source.shifted("salt"), glyphs.shifted("salt")),
        (source.tasks["thickness"].test(), glyphs.tasks["thickness"].test()),
    ):
        assert np.array_equal(ours.inputs, theirs.inputs)
        assert np.array_equal(ours.labels, theirs.labels)
    assert source.shifts == glyphs.shifts
    assert source.pretraining_classes == glyphs.pretraining_classes


def read(caption: str) -> tuple[int, int, int]:
    """Size, thickness and super-class that a caption tells."""
    words = caption.split()
    (size,) = [index for index, forms in enumerate(SIZES) if set(forms) & set(words)]
    (thickness,) = [index for index, forms in enumerate(THICKNESSES) if set(forms) & set(words)]
    (glyph,) = re.findall(rf"(?:{'|'.join(GLYPHS)})-(\d+)", caption)
    return size, thickness, int(glyph)


def test_captions_tell_what_is_drawn(source: Captions) -> None:
    pairs = source.pretraining()
    told = np.array([read(caption) for caption in in_words(pairs.captions, source.spelling)])
    drawing = source.drawing(balanced(900, source.classes), 1)
    edges = np.array([0.75, 0.85, 0.95, 1.05]), np.array([0.09, 0.34 / 3, 0.41 / 3, 0.16])
    assert np.array_equal(told[:, 0], np.digitize(drawing.scale, edges[0][1:-1]))
    assert np.array_equal(told[:, 1], np.digitize(drawing.thickness, edges[1][1:-1]))
    assert np.array_equal(told[:, 2], pairs.labels)
    ink = [pairs.inputs[told[:, 1] == index].mean() for index in range(3)]
    assert ink[0] < ink[1] < ink[2]
    extent = [np.abs(drawing.strokes[told[:, 0] == index]).mean() for index in range(3)]
    assert extent[0] < extent[1] < extent[2]


def test_captions_vary_within_a_class(source: Captions) -> None:
    pairs = source.pretraining()
    for label in range(10):
        captions = pairs.captions[pairs.labels == label]
        assert len(np.unique(captions, axis=0)) > 60, "of 90"
    decoded = in_words(pairs.captions, source.spelling)
    shapes = {re.sub(r"\S+-\d+", "G", caption) for caption in decoded}
    used = {word for shape in shapes for word in shape.split()}
    assert used >= {*PATTERNS.words, *(word for forms in (*SIZES, *THICKNESSES) for word in forms)}
    assert {word for caption in decoded for word in caption.split()} == set(source.spelling[2:])


def test_check_captions_are_fresh(source: Captions) -> None:
    assert not np.array_equal(source.pretraining().captions[:60], source.pretraining_check().captions)


def test_vocabulary_grows_with_the_classes() -> None:
    assert Captions(seed=0).vocabulary == len(Captions(seed=0).spelling)
    assert Captions(seed=0, base_glyphs=12).vocabulary == Captions(seed=0).vocabulary + 4
