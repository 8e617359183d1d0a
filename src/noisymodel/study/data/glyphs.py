"""Procedural glyphs: pen strokes, with coarse super-classes for pre-training and fine classes for tuning.

A base glyph is a few strokes between points of a lattice; each of its variants moves an end point of some strokes. The
super-class is the base glyph, the fine class is (base glyph, variant). So pre-training on super-classes encourages a
network to discard the information that the downstream task needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..._checks import check_choice
from ..._random import array_generator
from . import effects
from .drawing import BINS, Drawing, draw, glyph_shapes, render
from .glyph_shifts import SHIFTS
from .source import UNSHIFTED, CoarseTask, Drawn, Examples, Shift, Task, balanced

# streams of random numbers that one seed is split into
_SHAPES, _PRETRAINING, _CHECK, _TRAINING, _TEST, _SHIFT, _SAMPLES, _TASK = range(8)


@dataclass(frozen=True)
class Glyphs(Drawn):
    """The glyphs of one seed; a :data:`~noisymodel.study.data.Source`.

    ``pretraining_images`` pictures are labelled with ``base_glyphs`` super-classes; the downstream task has
    ``base_glyphs · variants`` fine classes, in the same shapes and fresh pictures. ``moved_strokes`` strokes of the
    base glyph differ in each variant: fewer make the variants of one glyph harder to tell apart.

    >>> glyphs = Glyphs(seed=0, pretraining_images=20, test_images=40)
    >>> glyphs.pretraining().inputs.shape, glyphs.classes
    ((20, 16, 16), 20)
    """

    size: int = 16
    base_glyphs: int = 10
    variants: int = 2
    moved_strokes: int = 2
    pretraining_images: int = 6000
    check_images: int = 1000
    test_images: int = 1000
    shift_images: int = 500

    kind = "pictures"
    default_tasks = ("fine",)
    shifts = tuple(shift.note for shift in SHIFTS.values())

    @property
    def tasks(self) -> Mapping[str, Task]:
        """The tasks to recognise the fine class, the super-class, and the thickness of the strokes."""
        coarse = CoarseTask(self, self.variants, lambda fine: self.pictures(fine, _TASK, 0, 0))
        return {"fine": self, "coarse": coarse, "thickness": Thickness(self)}

    @property
    def classes(self) -> int:
        """Number of fine (downstream) classes."""
        return self.base_glyphs * self.variants

    @property
    def pretraining_classes(self) -> int:
        """Number of super-classes."""
        return self.base_glyphs

    def pretraining(self) -> Examples:
        """Pictures with super-class labels."""
        return self.general(self.pretraining_images, _PRETRAINING)

    def pretraining_check(self) -> Examples:
        """Fresh pictures with super-class labels."""
        return self.general(self.check_images, _CHECK)

    def general(self, count: int, stream: int) -> Examples:
        """Pictures with super-class labels, from one stream of random numbers."""
        pictures = self.pictures(balanced(count, self.classes), stream)
        return Examples(pictures.inputs, pictures.labels // self.variants)

    def training(self, shots: int) -> Examples:
        """``shots`` pictures of each fine class."""
        return self.pictures(balanced(shots * self.classes, self.classes), _TRAINING)

    def test(self) -> Examples:
        """Pictures with fine-class labels, from the distribution of the training pictures."""
        return self.pictures(balanced(self.test_images, self.classes), _TEST)

    def shifted(self, shift: str) -> Examples:
        """Pictures with fine-class labels under a shift of :data:`SHIFTS`."""
        check_choice(shift, "shift", SHIFTS)
        stream = (_SHIFT, list(SHIFTS).index(shift))
        return self.pictures(balanced(self.shift_images, self.classes), *stream, shift=SHIFTS[shift])

    def samples(self, count: int) -> Mapping[str, effects.Images]:
        """The same ``count`` drawings, clean and under each shift."""
        labels = balanced(count, self.classes) * (self.classes // count or 1) % self.classes
        drawing = self.drawing(labels, _SAMPLES)
        pictures = {"clean": self.painted(drawing, _SAMPLES)}
        return pictures | {name: self.painted(drawing, _SAMPLES, shift=shift) for name, shift in SHIFTS.items()}

    def drawing(self, labels: NDArray[np.int64], *stream: int) -> Drawing:
        """Instances of fine classes before any shift."""
        shapes = glyph_shapes(array_generator(self.seed, _SHAPES), self.base_glyphs, self.variants, self.moved_strokes)
        return draw(shapes, labels, array_generator(self.seed, *stream, 0))

    def painted(self, drawing: Drawing, *stream: int, shift: Shift = UNSHIFTED) -> effects.Images:
        """Pictures of a drawing; the shift has its own random stream, so the instances do not change."""
        change = array_generator(self.seed, *stream, 1)
        images = render(shift.before(drawing, change), self.size, array_generator(self.seed, *stream, 2))
        return shift.after(images, change)

    def pictures(self, labels: NDArray[np.int64], *stream: int, shift: Shift = UNSHIFTED) -> Examples:
        """Pictures of fine classes."""
        return Examples(self.painted(self.drawing(labels, *stream), *stream, shift=shift), labels)


@dataclass(frozen=True)
class Thickness:
    """The task to tell thin, middle and thick strokes, about which no label of pre-training says anything.

    All glyphs have each thickness equally often. Shifts that change the thickness itself are left out.
    """

    glyphs: Glyphs

    classes = BINS
    shifts = tuple(shift.note for name, shift in SHIFTS.items() if name not in ("thick", "thin"))

    def training(self, shots: int) -> Examples:
        """``shots`` pictures of each thickness."""
        return self._pictures(shots * self.classes, 0)

    def test(self) -> Examples:
        """Pictures with thickness labels."""
        return self._pictures(self.glyphs.test_images, 1)

    def shifted(self, shift: str) -> Examples:
        """Pictures with thickness labels under a shift."""
        names = [note.name for note in self.shifts]
        check_choice(shift, "shift", names)
        return self._pictures(self.glyphs.shift_images, 2, names.index(shift), shift=SHIFTS[shift])

    def _pictures(self, count: int, *part: int, shift: Shift = UNSHIFTED) -> Examples:
        order = np.arange(count, dtype=np.int64)
        labels, fine = order % self.classes, order // self.classes % self.glyphs.classes
        stream = (_TASK, 1, *part)
        drawing = self.glyphs.drawing(fine, *stream)
        drawing = drawing.with_thickness_bin(labels, array_generator(self.glyphs.seed, *stream, 3))
        return Examples(self.glyphs.painted(drawing, *stream, shift=shift), labels)
